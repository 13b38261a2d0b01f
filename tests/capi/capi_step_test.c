/* The C API: the marks of layers and steps in every order, the files that are saved, statistics. */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/capi/capi_test.h"

enum { LAYERS = 8, TENSOR = 512 << 10 };

/* A step whose tensors live over several layers: 4.5 MiB at its peak. */
static void Layers(tc_runtime* runtime, char mark) {
  char* saved[LAYERS];
  for (int i = 0; i < LAYERS; ++i) {
    CHECK_STATUS(tc_add_named_layer(runtime, "forward"), TC_OK);
    saved[i] = tc_alloc(runtime, TENSOR);
    memset(saved[i], mark + i, TENSOR);
    char* scratch = tc_alloc(runtime, TENSOR);
    memcpy(scratch, saved[i], TENSOR);
    CHECK_STATUS(tc_free(runtime, scratch), TC_OK);
  }
  for (int i = LAYERS - 1; i >= 0; --i) {
    CHECK_STATUS(tc_add_layer(runtime), TC_OK);
    CHECK(saved[i][0] == (char)(mark + i) && saved[i][TENSOR - 1] == (char)(mark + i));
    CHECK_STATUS(tc_free(runtime, saved[i]), TC_OK);
  }
}

static void MarkedStep(tc_runtime* runtime, char mark) {
  CHECK_STATUS(tc_begin_step(runtime), TC_OK);
  Layers(runtime, mark);
  CHECK_STATUS(tc_end_step(runtime), TC_OK);
}

static void WrongOrder(void) {
  tc_runtime* runtime = Make("2MiB");
  CHECK_STATUS(tc_end_profile(runtime), TC_FAILED_PRECONDITION);
  CHECK(strstr(tc_last_error(), "start_profile") != NULL);
  CHECK_STATUS(tc_end_step(runtime), TC_FAILED_PRECONDITION);
  CHECK_STATUS(tc_add_layer(runtime), TC_OK); /* in no step: nothing to mark */
  CHECK_STATUS(tc_add_named_layer(runtime, NULL), TC_OK);
  CHECK_STATUS(tc_start_profile(runtime), TC_OK);
  CHECK_STATUS(tc_start_profile(runtime), TC_FAILED_PRECONDITION);
  Layers(runtime, 'a');
  CHECK_STATUS(tc_end_profile(runtime), TC_OK);
  CHECK_STATUS(tc_end_profile(runtime), TC_FAILED_PRECONDITION);
  for (int i = 0; i < 3; ++i) Layers(runtime, 'b');
  for (int i = 0; i < 40; ++i) CHECK_STATUS(tc_add_layer(runtime), TC_OK); /* out of step */
  for (int i = 0; i < 3; ++i) Layers(runtime, 'c');
  tc_destroy(runtime);

  runtime = Make("2MiB");
  CHECK_STATUS(tc_start_profile(runtime), TC_OK);
  CHECK_STATUS(tc_begin_step(runtime), TC_OK); /* marks say it better: they take over */
  CHECK_STATUS(tc_begin_step(runtime), TC_FAILED_PRECONDITION);
  Layers(runtime, 'd');
  CHECK_STATUS(tc_end_step(runtime), TC_OK);
  CHECK_STATUS(tc_end_profile(runtime), TC_OK);
  for (int i = 0; i < 4; ++i) MarkedStep(runtime, 'e');
  tc_stats stats = {.struct_size = sizeof(stats)};
  CHECK_STATUS(tc_get_stats(runtime, &stats), TC_OK);
  CHECK(stats.matched_allocations > 0 && stats.steps == 5);
  /* A step with other layers than were profiled, and one that ends at once. */
  CHECK_STATUS(tc_begin_step(runtime), TC_OK);
  for (int i = 0; i < 100; ++i) CHECK_STATUS(tc_add_layer(runtime), TC_OK);
  CHECK_STATUS(tc_end_step(runtime), TC_OK);
  CHECK_STATUS(tc_begin_step(runtime), TC_OK);
  CHECK_STATUS(tc_end_step(runtime), TC_OK);
  for (int i = 0; i < 3; ++i) MarkedStep(runtime, 'f');
  tc_destroy(runtime);
}

static int EntriesIn(const char* directory) {
  int count = 0;
  DIR* listing = opendir(directory);
  for (struct dirent* entry; (entry = readdir(listing)) != NULL;) count += entry->d_name[0] != '.';
  closedir(listing);
  return count;
}

static int Says(const char* path, const char* word) {
  static char text[1 << 20];
  FILE* file = fopen(path, "r");
  CHECK(file != NULL);
  if (file == NULL) return 0;
  const size_t length = fread(text, 1, sizeof(text) - 1, file);
  CHECK(feof(file));
  fclose(file);
  text[length] = 0;
  return strstr(text, word) != NULL;
}

static void Files(void) {
  char directory[] = "/var/tmp/tc-files-XXXXXX";
  CHECK(mkdtemp(directory) != NULL);
  char profile[128], plan[128], log[128];
  snprintf(profile, sizeof(profile), "%s/profile.json", directory);
  snprintf(plan, sizeof(plan), "%s/plan.json", directory);
  snprintf(log, sizeof(log), "%s/run.json", directory);

  tc_runtime* runtime = Make("2MiB");
  CHECK_STATUS(tc_save_profile(runtime, profile), TC_FAILED_PRECONDITION);
  CHECK_STATUS(tc_save_plan(runtime, plan), TC_FAILED_PRECONDITION);
  CHECK(EntriesIn(directory) == 0);
  CHECK_STATUS(tc_save_run_log(runtime, log), TC_OK); /* no step yet is no error */
  CHECK_STATUS(tc_save_profile(runtime, NULL), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_save_plan(runtime, NULL), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_save_run_log(runtime, NULL), TC_INVALID_ARGUMENT);
  for (int i = 0; i < 8; ++i) MarkedStep(runtime, (char)('a' + i));
  CHECK_STATUS(tc_save_profile(runtime, profile), TC_OK);
  CHECK_STATUS(tc_save_plan(runtime, plan), TC_OK);
  CHECK_STATUS(tc_save_run_log(runtime, log), TC_OK);
  CHECK(EntriesIn(directory) == 3); /* no temporary file is left */
  CHECK(tc_save_plan(runtime, "/nonexistent/plan.json") != TC_OK);
  CHECK(strstr(tc_last_error(), "/nonexistent/plan.json") != NULL);
  CHECK(tc_save_run_log(runtime, "/proc/run.json") != TC_OK);
  tc_destroy(runtime);

  /* The same program with the plan: all steps but the first are placed, and none is profiled. */
  tc_options options = Options("2MiB");
  options.plan_in = plan;
  CHECK_STATUS(tc_create(&options, &runtime), TC_OK);
  for (int i = 0; i < 4; ++i) MarkedStep(runtime, 'x');
  tc_stats stats = {.struct_size = sizeof(stats)};
  CHECK_STATUS(tc_get_stats(runtime, &stats), TC_OK);
  CHECK(stats.matched_allocations == 3 * 2 * LAYERS && stats.mismatched_allocations == 0);
  CHECK(stats.peak_fast_bytes <= 2 * MIB);
  CHECK(Says(log, "\"profiled\"")); /* the log of the run before: one step was */
  CHECK_STATUS(tc_save_run_log(runtime, log), TC_OK);
  CHECK(!Says(log, "\"profiled\""));
  CHECK_STATUS(tc_save_profile(runtime, profile), TC_FAILED_PRECONDITION); /* there is none to save */
  tc_destroy(runtime);

  /* With the profile, for less memory: a plan is made at the start. */
  options = Options("1536KiB");
  options.profile_in = profile;
  CHECK_STATUS(tc_create(&options, &runtime), TC_OK);
  for (int i = 0; i < 4; ++i) MarkedStep(runtime, 'y');
  CHECK_STATUS(tc_get_stats(runtime, &stats), TC_OK);
  CHECK(stats.matched_allocations == 3 * 2 * LAYERS && stats.mismatched_allocations == 0);
  CHECK(stats.peak_fast_bytes <= 3 * MIB / 2);
  CHECK_STATUS(tc_save_run_log(runtime, log), TC_OK);
  CHECK(!Says(log, "\"profiled\"") && Says(log, "lookahead"));
  CHECK(stats.replans == 1); /* the third placed step runs by the times of two */
  for (int i = 0; i < 4; ++i) MarkedStep(runtime, 'z');
  CHECK_STATUS(tc_get_stats(runtime, &stats), TC_OK);
  CHECK(stats.matched_allocations == 7 * 2 * LAYERS && stats.mismatched_allocations == 0 && stats.replans == 2);
  CHECK(stats.peak_fast_bytes <= 3 * MIB / 2);
  CHECK_STATUS(tc_save_profile(runtime, profile), TC_OK); /* the one that was given, with this run's times */
  tc_destroy(runtime);
  CHECK_STATUS(tc_create(&options, &runtime), TC_OK);
  for (int i = 0; i < 4; ++i) MarkedStep(runtime, 'y');
  CHECK_STATUS(tc_get_stats(runtime, &stats), TC_OK);
  CHECK(stats.matched_allocations == 3 * 2 * LAYERS && stats.mismatched_allocations == 0);
  tc_destroy(runtime);
  options.plan_in = plan;
  Refused(&options, TC_INVALID_ARGUMENT, "profile_in");
  options.plan_in = NULL;
  options.planner = "lru";
  Refused(&options, TC_INVALID_ARGUMENT, "lru");
  options = Options("2MiB");
  options.profile_in = plan; /* not a profile */
  Refused(&options, TC_INVALID_ARGUMENT, "plan.json");
  options.profile_in = "/nonexistent/profile.json";
  Refused(&options, TC_NOT_FOUND, "/nonexistent/profile.json");

  FILE* file = fopen(profile, "w"); /* a profile that no plan can be made of */
  CHECK(file != NULL &&
        fputs("{\"version\": 1, \"layers\": [{\"name\": \"a\", \"seconds\": 1}], \"tensors\": [{\"id\": 0, "
              "\"bytes\": 4611686018427387904, \"birth_layer\": 0, \"death_layer\": 0}]}",
              file) >= 0);
  fclose(file);
  options.profile_in = profile;
  Refused(&options, TC_INVALID_ARGUMENT, "profile.json");

  options = Options("1MiB");
  options.plan_in = plan;
  Refused(&options, TC_INVALID_ARGUMENT, "budget");
  options.fast = "4MiB";
  options.granule_bytes = 128 << 10;
  Refused(&options, TC_INVALID_ARGUMENT, "granules");
  options = Options("2MiB");
  options.plan_in = profile; /* not a plan */
  Refused(&options, TC_INVALID_ARGUMENT, "profile.json");
  file = fopen(plan, "r+");
  CHECK(file != NULL && fseek(file, 40, SEEK_SET) == 0 && fputs("}}}}", file) >= 0);
  fclose(file);
  options.plan_in = plan; /* damaged */
  Refused(&options, TC_INVALID_ARGUMENT, "plan.json");
  unlink(profile);
  unlink(plan);
  unlink(log);
  CHECK(rmdir(directory) == 0);
}

static void Statistics(void) {
  tc_runtime* runtime = Make("2MiB");
  tc_stats stats = {.struct_size = sizeof(stats) - 8};
  CHECK_STATUS(tc_get_stats(runtime, &stats), TC_INVALID_ARGUMENT);
  CHECK_STATUS(tc_get_stats(runtime, NULL), TC_INVALID_ARGUMENT);
  stats.struct_size = sizeof(stats);
  for (int i = 0; i < 4; ++i) MarkedStep(runtime, 's');
  CHECK_STATUS(tc_get_stats(runtime, &stats), TC_OK);
  CHECK(stats.steps == 4 && stats.bytes_in > 0 && stats.bytes_out > 0 && stats.live_bytes == 0);
  CHECK(stats.peak_fast_bytes <= stats.fast_budget_bytes);
  tc_destroy(runtime);
  for (int status = 0; status <= 7; ++status) CHECK(strcmp(tc_status_name((tc_status)status), "UNKNOWN") != 0);
  CHECK(strcmp(tc_status_name((tc_status)99), "UNKNOWN") == 0);
  CHECK(strlen(tc_version()) >= 5);
}

/* The run log says of the slow tier whether what comes from it is verified. */
static int LogSaysVerified(tc_runtime* runtime) {
  char log[] = "/var/tmp/tc-verified-XXXXXX";
  close(mkstemp(log));
  CHECK_STATUS(tc_save_run_log(runtime, log), TC_OK);
  const int says = Says(log, ", verified");
  unlink(log);
  return says;
}

static void Verified(void) {
  tc_options options = Options("2MiB");
  options.verify = 1;
  tc_runtime* runtime = NULL;
  CHECK_STATUS(tc_create(&options, &runtime), TC_OK);
  for (int i = 0; i < 5; ++i) MarkedStep(runtime, 'v');
  tc_stats stats = {.struct_size = sizeof(stats)};
  CHECK_STATUS(tc_get_stats(runtime, &stats), TC_OK);
  CHECK(stats.bytes_out > 0 && stats.io_errors == 0);
  CHECK(LogSaysVerified(runtime));
  tc_destroy(runtime);

  runtime = Make("2MiB");
  CHECK(!LogSaysVerified(runtime));
  tc_destroy(runtime);
  setenv("THERMOCLINE_VERIFY", "1", 1);
  runtime = Make("2MiB");
  unsetenv("THERMOCLINE_VERIFY");
  CHECK(LogSaysVerified(runtime));
  tc_destroy(runtime);
}

void TestStatistics(void) { Statistics(); }

void TestSteps(void) {
  WrongOrder();
  Files();
  Verified();
}
