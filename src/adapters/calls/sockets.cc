// recv, send and their like, and the kernel's random bytes, in front of the C library's: buffers in the runtime's
// memory are resident for the call.

#include <sys/random.h>
#include <sys/socket.h>

#include "src/adapters/calls/calls.h"
#include "src/adapters/calls/real_calls.h"
#include "src/adapters/calls/resident_transfer.h"

namespace thermocline::calls {
namespace {

// Only a caller that asked for all of it gets more than one piece, and never when it only peeks: it would see the first
// piece twice.
bool WantsAll(int flags) { return (flags & MSG_WAITALL) != 0 && (flags & MSG_PEEK) == 0; }

msghdr Message(const iovec* vectors, int count) {
  msghdr message = {};
  message.msg_iov = const_cast<iovec*>(vectors);
  message.msg_iovlen = static_cast<size_t>(count);
  return message;
}

ssize_t Receive(int fd, void* buffer, size_t bytes, int flags, sockaddr* from, socklen_t* from_length) {
  const iovec whole = {buffer, bytes};
  return TransferResident(Way::kIn, &whole, 1, WantsAll(flags), [&](const iovec* v, int, size_t) {
    return Real().recvfrom(fd, v->iov_base, v->iov_len, flags, from, from_length);
  });
}

ssize_t Send(int fd, const void* buffer, size_t bytes, int flags, const sockaddr* to, socklen_t to_length) {
  const iovec whole = {const_cast<void*>(buffer), bytes};
  return TransferResident(Way::kOut, &whole, 1, true, [&](const iovec* v, int, size_t) {
    return Real().sendto(fd, v->iov_base, v->iov_len, flags, to, to_length);
  });
}

ssize_t ReceiveMessage(int fd, msghdr* message, int flags) {
  return TransferResident(Way::kIn, message->msg_iov, static_cast<int>(message->msg_iovlen), false,
                          [&](const iovec* v, int count, size_t) {
                            msghdr piece = *message;
                            piece.msg_iov = const_cast<iovec*>(v);
                            piece.msg_iovlen = static_cast<size_t>(count);
                            const ssize_t moved = Real().recvmsg(fd, &piece, flags);
                            message->msg_namelen = piece.msg_namelen;
                            message->msg_controllen = piece.msg_controllen;
                            message->msg_flags = piece.msg_flags;
                            return moved;
                          });
}

ssize_t SendMessage(int fd, const msghdr* message, int flags) {
  return TransferResident(Way::kOut, message->msg_iov, static_cast<int>(message->msg_iovlen), true,
                          [&](const iovec* v, int count, size_t done) {
                            msghdr piece = Message(v, count);
                            piece.msg_name = message->msg_name;
                            piece.msg_namelen = message->msg_namelen;
                            if (done == 0) {  // descriptors and credentials go once
                              piece.msg_control = message->msg_control;
                              piece.msg_controllen = message->msg_controllen;
                            }
                            return Real().sendmsg(fd, &piece, flags);
                          });
}

bool HasOurs(const msghdr& message) {
  return message.msg_iov != nullptr && message.msg_iovlen <= kPieceVectors &&
         AnyIsOwned(message.msg_iov, static_cast<int>(message.msg_iovlen));
}

}  // namespace
}  // namespace thermocline::calls

namespace calls = thermocline::calls;
using calls::Real;
using thermocline::runtime::IsOwned;

THERMOCLINE_INTERPOSED ssize_t recv(int fd, void* buffer, size_t bytes, int flags) {
  return IsOwned(buffer) ? calls::Receive(fd, buffer, bytes, flags, nullptr, nullptr)
                         : Real().recv(fd, buffer, bytes, flags);
}
THERMOCLINE_INTERPOSED ssize_t __recv_chk(int fd, void* buffer, size_t bytes, size_t room, int flags) {
  return IsOwned(buffer) && bytes <= room ? calls::Receive(fd, buffer, bytes, flags, nullptr, nullptr)
                                          : Real().__recv_chk(fd, buffer, bytes, room, flags);
}
THERMOCLINE_INTERPOSED ssize_t recvfrom(int fd, void* __restrict buffer, size_t bytes, int flags,
                                        sockaddr* __restrict from, socklen_t* __restrict from_length) {
  return IsOwned(buffer) ? calls::Receive(fd, buffer, bytes, flags, from, from_length)
                         : Real().recvfrom(fd, buffer, bytes, flags, from, from_length);
}
THERMOCLINE_INTERPOSED ssize_t __recvfrom_chk(int fd, void* __restrict buffer, size_t bytes, size_t room, int flags,
                                              sockaddr* __restrict from, socklen_t* __restrict from_length) {
  return IsOwned(buffer) && bytes <= room ? calls::Receive(fd, buffer, bytes, flags, from, from_length)
                                          : Real().__recvfrom_chk(fd, buffer, bytes, room, flags, from, from_length);
}
THERMOCLINE_INTERPOSED ssize_t send(int fd, const void* buffer, size_t bytes, int flags) {
  return IsOwned(buffer) ? calls::Send(fd, buffer, bytes, flags, nullptr, 0) : Real().send(fd, buffer, bytes, flags);
}
THERMOCLINE_INTERPOSED ssize_t sendto(int fd, const void* buffer, size_t bytes, int flags, const sockaddr* to,
                                      socklen_t to_length) {
  return IsOwned(buffer) ? calls::Send(fd, buffer, bytes, flags, to, to_length)
                         : Real().sendto(fd, buffer, bytes, flags, to, to_length);
}
THERMOCLINE_INTERPOSED ssize_t recvmsg(int fd, msghdr* message, int flags) {
  return message != nullptr && calls::HasOurs(*message) ? calls::ReceiveMessage(fd, message, flags)
                                                        : Real().recvmsg(fd, message, flags);
}
THERMOCLINE_INTERPOSED ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  return message != nullptr && calls::HasOurs(*message) ? calls::SendMessage(fd, message, flags)
                                                        : Real().sendmsg(fd, message, flags);
}
// One message at a time where one has a buffer of ours: fewer messages than asked for is always a right answer.
THERMOCLINE_INTERPOSED int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
  if (messages == nullptr || count == 0) return Real().recvmmsg(fd, messages, count, flags, timeout);
  for (unsigned i = 0; i < count; ++i) {
    if (!calls::HasOurs(messages[i].msg_hdr)) continue;
    if (i > 0) return Real().recvmmsg(fd, messages, i, flags, timeout);
    const ssize_t moved = calls::ReceiveMessage(fd, &messages[0].msg_hdr, flags & ~MSG_WAITFORONE);
    if (moved < 0) return -1;
    messages[0].msg_len = static_cast<unsigned>(moved);
    return 1;
  }
  return Real().recvmmsg(fd, messages, count, flags, timeout);
}
THERMOCLINE_INTERPOSED int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) {
  if (messages == nullptr || count == 0) return Real().sendmmsg(fd, messages, count, flags);
  for (unsigned i = 0; i < count; ++i) {
    if (!calls::HasOurs(messages[i].msg_hdr)) continue;
    if (i > 0) return Real().sendmmsg(fd, messages, i, flags);
    const ssize_t moved = calls::SendMessage(fd, &messages[0].msg_hdr, flags);
    if (moved < 0) return -1;
    messages[0].msg_len = static_cast<unsigned>(moved);
    return 1;
  }
  return Real().sendmmsg(fd, messages, count, flags);
}

THERMOCLINE_INTERPOSED ssize_t getrandom(void* buffer, size_t bytes, unsigned flags) {
  if (!IsOwned(buffer)) return Real().getrandom(buffer, bytes, flags);
  const iovec whole = {buffer, bytes};
  return calls::TransferResident(calls::Way::kIn, &whole, 1, true, [flags](const iovec* v, int, size_t) {
    return Real().getrandom(v->iov_base, v->iov_len, flags);
  });
}
THERMOCLINE_INTERPOSED int getentropy(void* buffer, size_t bytes) {
  if (!IsOwned(buffer)) return Real().getentropy(buffer, bytes);
  const iovec whole = {buffer, bytes};
  const auto call = [](const iovec* v, int, size_t) -> ssize_t { return Real().getentropy(v->iov_base, v->iov_len); };
  // It returns 0, not a count: a bounced piece is finished as a whole.
  calls::ResidentPiece resident(calls::Way::kIn, &whole, 1);
  const ssize_t result = call(resident.vectors(), resident.count(), 0);
  resident.Finish(result == 0 ? static_cast<ssize_t>(bytes) : -1);
  return static_cast<int>(result);
}
