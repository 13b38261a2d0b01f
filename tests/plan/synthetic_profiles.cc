#include "tests/plan/synthetic_profiles.h"

#include <algorithm>
#include <random>
#include <string>
#include <utility>

namespace thermocline::plan {
namespace {

using profile::Access;
using profile::Profile;
using profile::Tensor;

// Writes a profile layer by layer, the way a network runs.
class Builder {
 public:
  int Persistent(int64_t bytes) {
    Tensor tensor;
    tensor.id = TensorId(static_cast<int64_t>(profile_.tensors.size()));
    tensor.bytes = Bytes(bytes);
    tensor.fixed_offset = fixed_end_;
    fixed_end_ += RoundUp(tensor.bytes, KiB(4)).count();
    profile_.tensors.push_back(tensor);
    return static_cast<int>(profile_.tensors.size()) - 1;
  }
  void Layer(const std::string& name, double seconds) {
    profile::Layer layer;
    layer.name = name;
    layer.seconds = seconds;
    layer.first_event = event_;
    profile_.layers.push_back(layer);
    ordinal_ = 0;
  }
  int New(int64_t bytes) {
    Tensor tensor;
    tensor.id = TensorId(static_cast<int64_t>(profile_.tensors.size()));
    tensor.bytes = Bytes(bytes);
    tensor.birth = Here();
    tensor.birth_event = event_++;
    tensor.ordinal = ordinal_++;
    profile_.tensors.push_back(tensor);
    Write(static_cast<int>(profile_.tensors.size()) - 1);
    return static_cast<int>(profile_.tensors.size()) - 1;
  }
  void Read(int tensor) { AccessOf(tensor).read = true; }
  void Write(int tensor) { AccessOf(tensor).write = true; }
  void Free(int tensor) {
    profile_.tensors[tensor].death = Here();
    profile_.tensors[tensor].death_event = event_++;
  }
  Profile Done(double seconds) {
    double sum = 0;
    for (const profile::Layer& layer : profile_.layers) sum += layer.seconds;
    for (profile::Layer& layer : profile_.layers) layer.seconds *= seconds / sum;
    profile_.peak_bytes = profile::PeakBytes(profile_);
    return std::move(profile_);
  }

 private:
  LayerId Here() const { return LayerId(static_cast<int32_t>(profile_.layers.size()) - 1); }
  Access& AccessOf(int tensor) {
    std::vector<Access>& accesses = profile_.tensors[tensor].accesses;
    if (accesses.empty() || accesses.back().layer != Here()) accesses.push_back({Here()});
    return accesses.back();
  }

  Profile profile_;
  int64_t fixed_end_ = 0;
  int64_t event_ = 0;
  int32_t ordinal_ = 0;
};

struct Block {
  int stage;
  int input, conv_out, act_out;
  int weight, gradient, momentum;
};

int64_t ActivationBytes(const ConvNetOptions& options, int stage) { return options.stage1_bytes >> stage; }

void Forward(const ConvNetOptions& options, Block* block, Builder* b) {
  const double scale = 1.0 / (1 << block->stage);
  b->Layer("conv", 18);
  b->Read(block->input);
  b->Read(block->weight);
  block->conv_out = b->New(ActivationBytes(options, block->stage));
  b->Layer("norm", 5 * scale);
  b->Read(block->conv_out);
  block->act_out = b->New(ActivationBytes(options, block->stage));
  b->Layer("relu", 3 * scale);
  b->Read(block->act_out);
  b->Write(block->act_out);
}

// Returns the gradient of the block's input.
int Backward(const ConvNetOptions& options, const Block& block, int gradient, Builder* b) {
  const double scale = 1.0 / (1 << block.stage);
  b->Layer("relu backward", 4 * scale);
  b->Read(block.act_out);
  b->Read(gradient);
  b->Write(gradient);
  b->Free(block.act_out);
  b->Layer("norm backward", 8 * scale);
  b->Read(block.conv_out);
  b->Read(gradient);
  const int conv_gradient = b->New(ActivationBytes(options, block.stage));
  b->Free(gradient);
  b->Free(block.conv_out);
  b->Layer("conv backward", 40);
  b->Read(block.input);
  b->Read(block.weight);
  b->Read(conv_gradient);
  b->Write(block.gradient);
  int scratch[2] = {-1, -1};
  for (int& s : scratch) {
    if (options.scratch) s = b->New(ActivationBytes(options, block.stage));
  }
  const int input_gradient = b->New(ActivationBytes(options, std::max(block.stage, 0)));
  for (const int s : scratch) {
    if (s >= 0) b->Free(s);
  }
  b->Free(conv_gradient);
  return input_gradient;
}

}  // namespace

Profile ConvNet(const ConvNetOptions& options) {
  Builder b;
  std::vector<Block> blocks;
  const int image = b.Persistent(128 * 784 * 4);
  for (int i = 0; i < 3 * options.blocks_per_stage; ++i) {
    Block block{};
    block.stage = i / options.blocks_per_stage;
    const int64_t channels = 64 << block.stage;
    block.weight = b.Persistent(channels * channels * 9 * 4);
    block.gradient = b.Persistent(channels * channels * 9 * 4);
    block.momentum = b.Persistent(channels * channels * 9 * 4);
    blocks.push_back(block);
  }
  int input = image;
  for (Block& block : blocks) {
    block.input = input;
    Forward(options, &block, &b);
    input = block.act_out;
  }
  b.Layer("loss", 2);
  b.Read(input);
  int gradient = b.New(ActivationBytes(options, blocks.back().stage));
  for (size_t i = blocks.size(); i-- > 0;) gradient = Backward(options, blocks[i], gradient, &b);
  b.Free(gradient);
  b.Layer("update", 15);
  for (const Block& block : blocks) {
    b.Read(block.gradient);
    b.Read(block.momentum);
    b.Write(block.momentum);
    b.Read(block.weight);
    b.Write(block.weight);
  }
  return b.Done(options.seconds);
}

namespace {

int64_t RandomBytes(std::mt19937_64* random) {
  const int shift = static_cast<int>((*random)() % 10);
  return static_cast<int64_t>((32 << 10) + (*random)() % ((int64_t{32} << 10) << shift));
}

// Layers of the tensor's life, in order.
std::vector<int> LifeLayers(const Tensor& tensor, int layers) {
  std::vector<int> result;
  for (int l = 0; l < layers; ++l) {
    if (profile::AliveIn(tensor, LayerId(l))) result.push_back(l);
  }
  return result;
}

Tensor RandomTensor(std::mt19937_64* random, int64_t id, int layers) {
  Tensor tensor;
  tensor.id = TensorId(id);
  tensor.bytes = Bytes(RandomBytes(random));
  const int kind = static_cast<int>((*random)() % 10);
  const int a = static_cast<int>((*random)() % layers);
  const int b = static_cast<int>((*random)() % layers);
  if (kind >= 1) {
    tensor.birth = LayerId(kind < 5 ? a : std::min(a, b));
    tensor.death = LayerId(kind < 4 ? a : std::max(a, b));
    if (kind == 9 && a != b) std::swap(tensor.birth, tensor.death);
    tensor.ordinal = static_cast<int32_t>(id);
  }
  for (const int layer : LifeLayers(tensor, layers)) {
    if ((*random)() % 3 != 0 && LayerId(layer) != tensor.birth) continue;
    Access access{LayerId(layer)};
    access.write = (*random)() % 2 == 0 || LayerId(layer) == tensor.birth;
    access.read = !access.write || (*random)() % 2 == 0;
    access.overwrite = access.write && !access.read && (*random)() % 3 == 0;
    tensor.accesses.push_back(access);
  }
  return tensor;
}

}  // namespace

Profile DeepNet(int blocks, Bytes shared) {
  constexpr int kScratch = 15;  // a block; half of them forward
  Builder b;
  struct Deep {
    int weight, gradient, momentum, output;
  };
  std::vector<Deep> net;
  for (int i = 0; i < blocks; ++i) {
    const int64_t bytes = KiB(256 + 64 * (i % 7)).count();
    net.push_back({b.Persistent(bytes), b.Persistent(bytes), b.Persistent(bytes), -1});
  }
  const int table = shared > Bytes(0) ? b.Persistent(shared.count()) : -1;
  const auto scratch = [&b](int i, int count) {
    for (int s = 0; s < count; ++s) b.Free(b.New(KiB(64 + 192 * ((i + s) % 8)).count()));
  };
  for (int i = 0; i < blocks; ++i) {
    b.Layer("forward", 1 + i % 3);
    if (table >= 0) b.Read(table);
    if (i > 0) b.Read(net[i - 1].output);
    b.Read(net[i].weight);
    net[i].output = b.New(MiB(3 + i % 5).count());
    scratch(i, kScratch / 2);
  }
  int gradient = -1;
  for (int i = blocks - 1; i >= 0; --i) {
    b.Layer("backward", 2 + i % 3);
    if (table >= 0) b.Read(table);
    b.Read(net[i].output);
    b.Read(net[i].weight);
    b.Write(net[i].gradient);
    b.Write(net[i].momentum);
    if (gradient >= 0) b.Read(gradient);
    const int next = b.New(MiB(3 + i % 5).count());
    scratch(i, kScratch - kScratch / 2);
    if (gradient >= 0) b.Free(gradient);
    b.Free(net[i].output);
    gradient = next;
  }
  b.Free(gradient);
  return b.Done(0.01 * blocks);
}

Profile RandomProfile(uint64_t seed, int layers, int tensors) {
  std::mt19937_64 random(seed);
  Profile profile;
  for (int l = 0; l < layers; ++l) {
    profile::Layer layer;
    layer.name = "layer " + std::to_string(l);
    layer.seconds = 0.001 * static_cast<double>(1 + random() % 20);
    profile.layers.push_back(layer);
  }
  int64_t fixed_end = 0;
  for (int t = 0; t < tensors; ++t) {
    Tensor tensor = RandomTensor(&random, t, layers);
    if (tensor.persistent() && random() % 2 == 0) {
      tensor.fixed_offset = fixed_end;
      fixed_end += RoundUp(tensor.bytes, KiB(4)).count();
    }
    profile.tensors.push_back(std::move(tensor));
  }
  profile.peak_bytes = profile::PeakBytes(profile);
  return profile;
}

WeightsInTurn::WeightsInTurn(int weights, int frames) {
  profile.layers.resize(weights);
  plan.layers.resize(weights);
  plan.granule_bytes = kGranule;
  plan.budget = kGranule * frames;
  for (int i = 0; i < weights; ++i) {
    profile.layers[i].seconds = 1;
    profile::Tensor tensor;
    tensor.id = TensorId(i);
    tensor.bytes = kGranule;
    tensor.accesses = {{.layer = LayerId(i), .read = true}};
    profile.tensors.push_back(tensor);
    plan.placements.push_back({.tensor = TensorId(i), .bytes = kGranule, .offset = i * kGranule.count()});
  }
}

Machine HalfASecondAGranule() {
  Machine machine = OneTier(static_cast<double>(WeightsInTurn::kGranule.count()) * 2);
  machine.slow[0].latency_seconds = 0;
  return machine;
}

Machine OneTier(double bytes_per_second, bool full_duplex) {
  TierSpec tier;
  tier.name = "disk";
  tier.in = BytesPerSecond(bytes_per_second);
  tier.out = BytesPerSecond(bytes_per_second);
  tier.latency_seconds = 80e-6;
  tier.full_duplex = full_duplex;
  return Machine{{tier}};
}

}  // namespace thermocline::plan
