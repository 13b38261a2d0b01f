// Every order, up to a fixed number of acts, in which threads, the mover, the slow tier and the kernel can do what they
// do to three granules in two frames: after each of them all is let go, and no byte is lost, no frame is over the
// budget, nobody waits for ever, nothing is left behind.
//
// What leads to a state that another order has led to is followed once only, and so is what differs only in which of
// the granules is which.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "tests/migrate/acted_residency.h"

namespace thermocline::migrate {
namespace {

class AllOrders {
 public:
  explicit AllOrders(bool planned) : planned_(planned) {
    Renew();
    beginning_ = world_->State();
    seen_.insert(beginning_);
  }

  // False when one of them went wrong; it has been said then.
  bool UpTo(int most_acts) {
    std::vector<Order> orders = {{{}, beginning_}};
    for (int acts = 1; acts <= most_acts; ++acts) {
      std::vector<Order> longer;
      for (const Order& order : orders) {
        if (!Extend(order, &longer)) return false;
      }
      orders = std::move(longer);
    }
    return true;
  }
  int64_t played() const { return played_; }
  int64_t states() const { return std::ssize(seen_); }

 private:
  struct Order {
    std::vector<Step> steps;
    std::string state;
  };

  void Renew() { world_ = std::make_unique<ActedResidency>(planned_); }

  // Everything that can be done next. Acts that change nothing need no new beginning.
  bool Extend(const Order& order, std::vector<Order>* longer) {
    bool at_order = false;
    for (int act = 0; act < static_cast<int>(Act::kCount); ++act) {
      for (int granule = 0; granule < ActedResidency::kGranules; ++granule) {
        const Step next = {static_cast<Act>(act), granule};
        if (!at_order) {
          for (const Step& step : order.steps) world_->Do(step);
          EXPECT_EQ(world_->State(), order.state) << "the same acts give another state: " << ToString(order.steps);
          at_order = true;
        }
        const bool done = world_->Do(next);
        std::string state = done ? world_->State() : order.state;
        if (state == order.state && world_->wrong.empty()) continue;
        std::vector<Step> steps = order.steps;
        steps.push_back(next);
        if (!EndWell(steps)) return false;
        at_order = false;
        if (seen_.insert(state).second) longer->push_back({std::move(steps), std::move(state)});
      }
    }
    return !at_order || EndWell(order.steps);
  }

  bool EndWell(const std::vector<Step>& steps) {
    ++played_;
    if (world_->wrong.empty()) world_->LetGo();
    if (!world_->wrong.empty()) {
      ADD_FAILURE() << absl::StrJoin(world_->wrong, "; ") << "\n  after: " << ToString(steps);
      return false;
    }
    if (world_->State() != beginning_) Renew();  // what it remembers of failures
    return true;
  }

  const bool planned_;
  std::unique_ptr<ActedResidency> world_;
  std::string beginning_;
  std::unordered_set<std::string> seen_;
  int64_t played_ = 0;
};

class MigrationOrders : public ::testing::TestWithParam<bool> {};

TEST_P(MigrationOrders, LoseNoByteAndNoFrameAndEndEveryWait) {
  // One act more takes four times as long.
  const int most_acts = GetParam() ? 5 : 6;
  AllOrders orders(GetParam());
  EXPECT_TRUE(orders.UpTo(most_acts));
  RecordProperty("orders", std::to_string(orders.played()));
  RecordProperty("states", std::to_string(orders.states()));
}

std::string NameOf(const ::testing::TestParamInfo<bool>& planned) { return planned.param ? "Planned" : "ByDemand"; }
INSTANTIATE_TEST_SUITE_P(All, MigrationOrders, ::testing::Bool(), NameOf);

}  // namespace
}  // namespace thermocline::migrate
