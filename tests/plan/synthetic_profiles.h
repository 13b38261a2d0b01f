// Profiles for tests: a convolutional network like the demo's, and random steps.
//
// Thread safety: pure functions.
#ifndef THERMOCLINE_TESTS_PLAN_SYNTHETIC_PROFILES_H_
#define THERMOCLINE_TESTS_PLAN_SYNTHETIC_PROFILES_H_

#include <cstdint>

#include "src/plan/migration_plan.h"
#include "src/plan/planner.h"
#include "src/profile/profile.h"

namespace thermocline::plan {

struct ConvNetOptions {
  int blocks_per_stage = 10;        // convolutions; three stages
  int64_t stage1_bytes = 25690112;  // one activation: 128 x 64 x 28 x 28 floats; halved in each later stage
  double seconds = 2.4;
  bool scratch = false;  // convolutions' backward also takes two activations of scratch
};

// A training step of conv + norm + activation blocks: activations are saved forward and used backward, weights with
// gradients and momentum live across steps, gradients of activations live a few layers. About 1 GB at peak.
profile::Profile ConvNet(const ConvNetOptions& options = {});

// A very deep one: a layer forward and a layer backward a block, each with scratch that lives in it alone; 20 tensors a
// block. About 6 MB a block at peak. `shared`: bytes of a table that every layer reads.
profile::Profile DeepNet(int blocks, Bytes shared = Bytes(0));

// A random but valid profile: lives of all kinds (short, long, wrapping, persistent, fixed), random accesses.
profile::Profile RandomProfile(uint64_t seed, int layers, int tensors);

// As many layers of a second as weights: weight i, of one granule, is read in layer i alone. And the plan that gives
// each weight its granule and moves nothing, with a budget of `frames`.
struct WeightsInTurn {
  static constexpr Bytes kGranule = MiB(2);
  WeightsInTurn(int weights, int frames);
  profile::Profile profile;
  MigrationPlan plan;
};
// Moves such a granule in half a second, without latency.
Machine HalfASecondAGranule();

// A slow tier with the same rate both ways.
Machine OneTier(double bytes_per_second, bool full_duplex = false);

}  // namespace thermocline::plan

#endif  // THERMOCLINE_TESTS_PLAN_SYNTHETIC_PROFILES_H_
