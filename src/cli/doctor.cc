// `thermocline doctor`: what this machine offers, what each probe was answered, and what is used instead.

#include "src/cli/doctor.h"

#include <cstdlib>
#include <iostream>
#include <memory>
#include <utility>

#include "CLI/Config.hpp"  // what App.hpp declares and does not define
#include "CLI/Formatter.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "src/cli/command.h"
#include "src/cli/progress.h"
#include "src/cli/text_table.h"
#include "src/os/choose_memory.h"
#include "src/profile/choose_gate.h"
#include "src/tier/tier_spec.h"

namespace thermocline::cli {
namespace {

constexpr int kIndent = 4;
constexpr Bytes kTrialGranule = MiB(2);

// True when it can be had, in use or not.
bool Available(const ProbeRecord& record) { return record.fallback.empty() || record.not_default; }

struct DoctorFlags {
  std::string slow = "file:/var/tmp";
  bool json = false;
};

DoctorReport Ask(const std::string& slow, const tier::TierRequest& request) {
  const Progress progress("asking the system");
  topology::ProbeMachine machine;
  if (request.kind == tier::TierRequest::Kind::kFile) machine.slow_directory = request.directory;
  DoctorReport report;
  report.slow = slow;
  report.sections = topology::ProbeAll(machine);
  const char* const profiler = std::getenv("THERMOCLINE_PROFILER");
  report.sections.push_back({"Profiler", {profile::ProbeGates(profiler == nullptr ? "auto" : profiler)}});
  const char* const kernel_faults = std::getenv("THERMOCLINE_KERNEL_FAULTS");
  const absl::string_view held_frames = absl::NullSafeStringView(std::getenv("THERMOCLINE_HELD_FRAMES"));
  report.sections.push_back(
      {"Accesses of the kernel", os::ProbeWatchedMemory(kernel_faults == nullptr ? "auto" : kernel_faults,
                                                        held_frames == "on" || held_frames == "1")});
  TrySlowTier(request, &report);
  return report;
}

absl::Status Doctor(const DoctorFlags& flags) {
  const auto request = tier::ParseTierSpec(flags.slow);
  if (!request.ok()) return UsageError(absl::StrCat("--slow ", flags.slow, ": ", request.status().message()));
  const DoctorReport report = Ask(flags.slow, *request);
  std::cout << (flags.json ? DoctorReportToJson(report) : FormatDoctorReport(report));
  return absl::OkStatus();
}

}  // namespace

void TrySlowTier(const tier::TierRequest& request, DoctorReport* report, tier::NumaSystem& numa) {
  topology::ProbeSection section{"The slow tier, as it was opened", {}};
  const auto tier = tier::MakeBlockTier(request, kTrialGranule, {&section.records, &numa});
  report->slow_status = tier.ok() ? tier::CheckRoom(**tier) : tier.status();
  if (tier.ok()) report->slow_tier = (*tier)->Describe();
  if (!section.records.empty()) report->sections.push_back(std::move(section));
}

std::string FormatDoctorReport(const DoctorReport& report) {
  std::string text;
  int probes = 0;
  int refused = 0;
  for (const topology::ProbeSection& section : report.sections) {
    absl::StrAppend(&text, section.title, "\n");
    for (const ProbeRecord& record : section.records) {
      ++probes;
      refused += Available(record) ? 0 : 1;
      absl::StrAppend(&text, Available(record) ? "  yes  " : "  no   ", Printable(record.what),
                      record.not_default ? " (can be had, not the default)" : "", "\n", std::string(kIndent + 3, ' '),
                      Printable(record.answer), "\n");
      if (!record.fallback.empty()) {
        absl::StrAppend(&text, std::string(kIndent + 3, ' '),
                        record.not_default ? "" : "instead: ", Printable(record.fallback), "\n");
      }
    }
    absl::StrAppend(&text, "\n");
  }
  absl::StrAppendFormat(&text, "%d of %d probes were granted.%s\n", probes - refused, probes,
                        refused > 0 ? " For each of the others Thermocline uses what is named after \"instead\"." : "");
  if (report.slow_status.ok()) {
    absl::StrAppend(&text, "Slow tier: ", report.slow, " can be used, as ", report.slow_tier, ".\n");
  } else {
    absl::StrAppend(&text, "Slow tier: ", report.slow, " can't be used: ", report.slow_status.message(), "\n");
  }
  return text;
}

std::string DoctorReportToJson(const DoctorReport& report) {
  nlohmann::ordered_json sections = nlohmann::ordered_json::array();
  for (const topology::ProbeSection& section : report.sections) {
    nlohmann::ordered_json probes = nlohmann::ordered_json::array();
    for (const ProbeRecord& record : section.records) {
      probes.push_back({{"what", record.what},
                        {"answer", record.answer},
                        {"available", Available(record)},
                        {"default", record.fallback.empty()},
                        {"fallback", record.fallback}});
    }
    sections.push_back({{"title", section.title}, {"probes", std::move(probes)}});
  }
  nlohmann::ordered_json slow = {{"spec", report.slow}, {"usable", report.slow_status.ok()}};
  if (report.slow_status.ok()) {
    slow["tier"] = report.slow_tier;
  } else {
    slow["error"] = std::string(report.slow_status.message());
  }
  const nlohmann::ordered_json document = {{"sections", std::move(sections)}, {"slow", std::move(slow)}};
  // A driver's or a path's bytes need not be UTF-8.
  return document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

void RegisterDoctor(CLI::App& app) {
  CLI::App* command = app.add_subcommand("doctor", "Say what this machine offers, and each probe's answer");
  const auto flags = std::make_shared<DoctorFlags>();
  command->add_option("--slow", flags->slow, "The slow tier to try: file:DIR, numa:NODE, emulated:...")
      ->capture_default_str();
  command->add_flag("--json", flags->json, "Print one JSON document");
  SetAction(command, [flags] { return Doctor(*flags); });
}

}  // namespace thermocline::cli
