// UserfaultGate: sees touches by userfaultfd's minor faults on shared memory, served in the faulting thread by SIGBUS.
//
// A closed granule has no page-table entries; its pages stay in the memfd. A touch raises SIGBUS, and UFFDIO_CONTINUE
// maps the window: write-protected after a read, so that the first write is a fault of its own. A granule stays one
// mapping, whatever the grain. A system call on a closed part gets EFAULT, as with page protection.
// Needs (Create tries each): userfaultfd for faults of user code (Linux 5.11), minor faults and write protection of
// shared memory (5.14, 5.19). Before Linux 6.4, which has UFFDIO_CONTINUE_MODE_WP, a window is mapped first and
// write-protected next: a write of another thread between the two goes unseen, and so what was only read counts as
// changed too. Thread safety and errors: as AccessGate. Ownership: owns its descriptor.
#ifndef THERMOCLINE_PROFILE_USERFAULTFD_GATE_H_
#define THERMOCLINE_PROFILE_USERFAULTFD_GATE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "src/arena/access_gate.h"
#include "src/os/userfaultfd.h"

namespace thermocline::profile {

class UserfaultGate final : public arena::AccessGate {
 public:
  // Tries on two pages of its own what it will need. Unimplemented, PermissionDenied or Unavailable say what is
  // missing.
  static absl::StatusOr<std::unique_ptr<UserfaultGate>> Create(os::Memory& memory,
                                                               os::UserfaultCalls& calls = os::RealUserfaultCalls());

  const char* name() const override { return "userfaultfd"; }
  bool needs_shared_frames() const override { return true; }
  bool sees_every_write() const override { return protects_at_once_; }
  int Arm(char* at, Bytes size) override;
  int Open(char* at, Bytes size, os::FaultAccess access) override;
  int Close(char* at, Bytes size) override;
  int Disarm(char* at, Bytes size) override;

 private:
  UserfaultGate(os::Memory& memory, os::Userfaultfd userfaultfd)
      : memory_(memory), userfaultfd_(std::move(userfaultfd)) {}
  absl::Status TryOut();
  int OpenForReading(char* at, Bytes size);
  int Map(char* at, Bytes size, bool write_protect);

  os::Memory& memory_;
  os::Userfaultfd userfaultfd_;
  bool protects_at_once_ = true;
};

}  // namespace thermocline::profile

#endif  // THERMOCLINE_PROFILE_USERFAULTFD_GATE_H_
