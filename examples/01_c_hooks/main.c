/* The three hooks of the paper around a layer loop of one's own, in plain C: a perceptron of many layers learns a
 * synthetic task in a third of the memory that its tensors need. What Thermocline adds is marked (1) to (6).
 *
 *   build/bin/01_c_hooks [--fast 48MiB] [--slow file:/var/tmp] [--steps 8]
 *   build/bin/01_c_hooks --profile net.json    what it learnt, for `thermocline simulate` and `thermocline plan`
 *   THERMOCLINE=off build/bin/01_c_hooks       the same losses, all in ordinary memory
 */
#include <getopt.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "thermocline/thermocline.h"

enum { kLayers = 16, kWidth = 1024, kBatch = 16 };
static const size_t kWeightBytes = sizeof(float) * kWidth * kWidth;
static const size_t kActivationBytes = sizeof(float) * kBatch * kWidth;
static const float kRate = 0.0003f, kMomentum = 0.9f;

typedef struct Net {
  tc_runtime* memory;
  float* weights[kLayers];
  float* momentum[kLayers];
  float* inputs[kLayers + 1]; /* of layer i in this step; the last one is the output */
} Net;

/* ---- The arithmetic. Nothing here knows of Thermocline. */

static uint32_t g_random = 1;
static float Random(void) { /* in (-1, 1) */
  g_random = g_random * 1664525u + 1013904223u;
  return (float)(int32_t)g_random / 2147483648.0f;
}

/* output = max(0, input * weights) */
static void Forward(const float* input, const float* weights, float* output) {
  memset(output, 0, kActivationBytes);
  for (int k = 0; k < kWidth; ++k)
    for (int b = 0; b < kBatch; ++b) {
      const float x = input[b * kWidth + k];
      for (int j = 0; j < kWidth; ++j) output[b * kWidth + j] += x * weights[k * kWidth + j];
    }
  for (int i = 0; i < kBatch * kWidth; ++i) output[i] = output[i] > 0 ? output[i] : 0;
}

/* From the gradient of a layer's output to those of its input and of its weights. */
static void Backward(const float* input, const float* output, const float* weights, float* gradient,
                     float* input_gradient, float* weight_gradient) {
  for (int i = 0; i < kBatch * kWidth; ++i) gradient[i] = output[i] > 0 ? gradient[i] : 0;
  for (int k = 0; k < kWidth; ++k) {
    float* row = weight_gradient + k * kWidth;
    memset(row, 0, sizeof(float) * kWidth);
    for (int b = 0; b < kBatch; ++b) {
      const float x = input[b * kWidth + k];
      const float* g = gradient + b * kWidth;
      float sum = 0;
      for (int j = 0; j < kWidth; ++j) row[j] += x * g[j];
      for (int j = 0; j < kWidth; ++j) sum += g[j] * weights[k * kWidth + j];
      input_gradient[b * kWidth + k] = sum;
    }
  }
}

static void Update(float* weights, float* momentum, const float* gradient) {
  for (int i = 0; i < kWidth * kWidth; ++i) {
    momentum[i] = kMomentum * momentum[i] + gradient[i];
    weights[i] -= kRate * momentum[i];
  }
}

/* ---- The training loop. */

static void Die(const char* what) {
  fprintf(stderr, "01_c_hooks: %s: %s\n", what, tc_last_error());
  exit(1);
}

static void* Allocate(Net* net, size_t bytes) {
  void* pointer = tc_alloc(net->memory, bytes); /* (1) tensors come from the runtime */
  if (pointer == NULL) Die("out of memory");
  return pointer;
}

static void MakeNet(Net* net) {
  const float scale = sqrtf(6.0f / kWidth); /* keeps the signal's size from layer to layer */
  for (int layer = 0; layer < kLayers; ++layer) {
    net->weights[layer] = Allocate(net, kWeightBytes);
    net->momentum[layer] = Allocate(net, kWeightBytes);
    for (int i = 0; i < kWidth * kWidth; ++i) net->weights[layer][i] = scale * Random();
    memset(net->momentum[layer], 0, kWeightBytes);
  }
}

static void FreeNet(Net* net) {
  for (int layer = 0; layer < kLayers; ++layer) {
    tc_free(net->memory, net->weights[layer]);
    tc_free(net->memory, net->momentum[layer]);
  }
}

/* (2) Once a layer, where it begins. It waits for what the layer needs; an error means that a disk failed. */
static void BeginLayer(Net* net) {
  if (tc_add_layer(net->memory) != TC_OK) Die("add_layer");
}

/* The squared distance from the target, and its gradient in place of the target. */
static float Loss(const float* output, float* target) {
  float loss = 0;
  for (int i = 0; i < kBatch * kWidth; ++i) {
    const float difference = output[i] - target[i];
    loss += difference * difference / (kBatch * kWidth);
    target[i] = 2 * difference / kBatch;
  }
  return loss;
}

static float TrainStep(Net* net) {
  BeginLayer(net); /* reading the input is a layer too: what a step allocates comes after its first add_layer */
  net->inputs[0] = Allocate(net, kActivationBytes);
  float* gradient = Allocate(net, kActivationBytes);
  for (int i = 0; i < kBatch * kWidth; ++i) net->inputs[0][i] = Random();
  for (int i = 0; i < kBatch * kWidth; ++i) gradient[i] = fabsf(net->inputs[0][i]); /* the task */
  for (int layer = 0; layer < kLayers; ++layer) {
    BeginLayer(net);
    net->inputs[layer + 1] = Allocate(net, kActivationBytes);
    Forward(net->inputs[layer], net->weights[layer], net->inputs[layer + 1]);
  }
  const float loss = Loss(net->inputs[kLayers], gradient);
  for (int layer = kLayers - 1; layer >= 0; --layer) {
    BeginLayer(net);
    float* weight_gradient = Allocate(net, kWeightBytes);
    float* input_gradient = Allocate(net, kActivationBytes);
    Backward(net->inputs[layer], net->inputs[layer + 1], net->weights[layer], gradient, input_gradient,
             weight_gradient);
    Update(net->weights[layer], net->momentum[layer], weight_gradient);
    tc_free(net->memory, weight_gradient);
    tc_free(net->memory, net->inputs[layer + 1]);
    tc_free(net->memory, gradient);
    gradient = input_gradient;
  }
  tc_free(net->memory, net->inputs[0]);
  tc_free(net->memory, gradient);
  return loss;
}

static void PrintStats(const Net* net) {
  tc_stats stats = {.struct_size = sizeof(stats)};
  if (tc_get_stats(net->memory, &stats) != TC_OK) Die("stats");
  if (stats.fast_budget_bytes == 0) {
    printf("placement is off\n");
    return;
  }
  printf("tensors %.0f MiB at most, fast memory %.0f MiB at most of %.0f MiB\n", stats.peak_live_bytes / 1048576.0,
         stats.peak_fast_bytes / 1048576.0, stats.fast_budget_bytes / 1048576.0);
  printf("moved %.0f MiB in, %.0f MiB out; waited %.2f s; %llu allocations placed by plan, %llu not recognised\n",
         stats.bytes_in / 1048576.0, stats.bytes_out / 1048576.0, stats.exposed_nanos * 1e-9,
         (unsigned long long)stats.matched_allocations, (unsigned long long)stats.mismatched_allocations);
}

static void Train(Net* net, int steps) {
  MakeNet(net);
  for (int step = 0; step < steps; ++step) {
    /* (3) One step that does what every step does is profiled; the plan that comes of it holds for all later ones. */
    if (step == 1 && tc_start_profile(net->memory) != TC_OK) Die("start_profile");
    const float loss = TrainStep(net);
    if (step == 1 && tc_end_profile(net->memory) != TC_OK) Die("end_profile");
    printf("step %d: loss %.9g\n", step, loss); /* nine digits: equal text means equal bits */
    fflush(stdout);
  }
  PrintStats(net);
  FreeNet(net);
}

/* (4) What was learnt and what was done, as files for the `thermocline` command. */
static void Save(const Net* net, const char* profile, const char* run_log) {
  if (profile != NULL && tc_save_profile(net->memory, profile) != TC_OK) Die("--profile");
  if (run_log != NULL && tc_save_run_log(net->memory, run_log) != TC_OK) Die("--run-log");
}

int main(int argc, char** argv) {
  static const struct option flags[] = {
      {"fast", required_argument, NULL, 'f'},
      {"slow", required_argument, NULL, 's'},
      {"steps", required_argument, NULL, 'n'},
      {"profile", required_argument, NULL, 'p'},
      {"run-log", required_argument, NULL, 'l'},
      {"help", no_argument, NULL, 'h'},
      {NULL, 0, NULL, 0},
  };
  /* (5) A runtime with a hard budget: here a third of what the tensors come to. */
  tc_options options = {.struct_size = sizeof(options), .fast = "48MiB"};
  const char *profile = NULL, *run_log = NULL;
  int steps = 8;
  for (int flag; (flag = getopt_long(argc, argv, "", flags, NULL)) != -1;) {
    if (flag == 'f') options.fast = optarg;
    if (flag == 's') options.slow = optarg;
    if (flag == 'n') steps = atoi(optarg);
    if (flag == 'p') profile = optarg;
    if (flag == 'l') run_log = optarg;
    if (flag == 'h' || flag == '?' || steps < 1) {
      fprintf(flag == 'h' ? stdout : stderr,
              "usage: 01_c_hooks [--fast 48MiB] [--slow file:/var/tmp] [--steps 8]\n"
              "                  [--profile FILE] [--run-log FILE]\n");
      return flag == 'h' ? 0 : 2;
    }
  }
  Net net = {NULL};
  if (tc_create(&options, &net.memory) != TC_OK) Die("cannot start");
  Train(&net, steps);
  Save(&net, profile, run_log);
  tc_destroy(net.memory); /* (6) everything that it allocated is gone with it */
  return 0;
}
