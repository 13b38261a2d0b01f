// ForkGuard: makes fork safe for every runtime of the process. Around a fork no transfer is in flight; the parent keeps
// the slots that the child may still read until every such child has ended or called exec.
//
// Thread safety: any thread. Ownership: a runtime is registered until it unregisters itself.
#ifndef THERMOCLINE_RUNTIME_FORK_GUARD_H_
#define THERMOCLINE_RUNTIME_FORK_GUARD_H_

namespace thermocline::runtime {

class Runtime;

void GuardForks(Runtime* runtime);
void UnguardForks(Runtime* runtime);
// Looks whether forked children have ended, and if so lets runtimes reuse the slots kept for them. Cheap.
void PollForks();

}  // namespace thermocline::runtime

#endif  // THERMOCLINE_RUNTIME_FORK_GUARD_H_
