// Settings for tests of the runtime: nothing of the environment in them, and the speed of an emulated slow tier known,
// as it is given. A start that measures it takes 0.7 s more. A file is measured.
#ifndef THERMOCLINE_TESTS_RUNTIME_KNOWN_LINK_H_
#define THERMOCLINE_TESTS_RUNTIME_KNOWN_LINK_H_

#include <optional>

#include "src/runtime/settings.h"

namespace thermocline {

// REQUIRES: they can be read.
inline runtime::Settings SettingsWithKnownLink(const runtime::RawSettings& raw) {
  runtime::Settings settings = *ReadSettings(raw, [](const char*) { return std::nullopt; });
  if (settings.slow.kind == tier::TierRequest::Kind::kEmulated) {
    plan::TierSpec& link = settings.link.emplace();
    link.in = settings.slow.in;
    link.out = settings.slow.out;
  }
  return settings;
}

}  // namespace thermocline

#endif  // THERMOCLINE_TESTS_RUNTIME_KNOWN_LINK_H_
