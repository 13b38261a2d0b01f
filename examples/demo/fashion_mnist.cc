#include "examples/demo/fashion_mnist.h"

#include <zlib.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

namespace thermocline::demo {
namespace {

// The data set's mean and deviation, with pixels in [0, 1].
constexpr float kMean = 0.2860f;
constexpr float kDeviation = 0.3530f;

// A gzipped file in idx format: big-endian magic, counts, then bytes.
class IdxFile {
 public:
  IdxFile(const std::string& path, uint32_t magic) : path_(path), file_(gzopen(path.c_str(), "rb"), &gzclose) {
    if (file_ == nullptr) {
      throw std::runtime_error(path +
                               ": can't be opened; install the Debian package dataset-fashion-mnist, or name the "
                               "folder with --data");
    }
    if (ReadUint32() != magic) throw std::runtime_error(path + ": is not the idx file that was expected");
  }
  uint32_t ReadUint32() {
    unsigned char b[4];
    Read(b, sizeof(b));
    return uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3];
  }
  void Read(unsigned char* to, unsigned bytes) {
    if (gzread(file_.get(), to, bytes) != static_cast<int>(bytes)) throw std::runtime_error(path_ + ": ends too early");
  }

 private:
  std::string path_;
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
};

}  // namespace

FashionMnist FashionMnist::Load(const std::string& folder, int64_t count) {
  IdxFile images(folder + "/train-images-idx3-ubyte.gz", 0x803);
  IdxFile labels(folder + "/train-labels-idx1-ubyte.gz", 0x801);
  const int64_t stored = std::min(images.ReadUint32(), labels.ReadUint32());
  if (stored == 0 || images.ReadUint32() != kSide || images.ReadUint32() != kSide) {
    throw std::runtime_error(folder + ": the images are not 28x28");
  }
  FashionMnist set;
  constexpr int kPixels = kSide * kSide;
  count = std::min<int64_t>(count, stored);
  set.images_.resize(count * kPixels);
  set.labels_.resize(count);
  for (int64_t i = 0; i < count; ++i) {
    unsigned char pixels[kPixels], label;
    images.Read(pixels, kPixels);
    labels.Read(&label, 1);
    std::transform(pixels, pixels + kPixels, set.image(i),
                   [](unsigned char p) { return (static_cast<float>(p) / 255.0f - kMean) / kDeviation; });
    *set.label(i) = label;
  }
  return set;
}

}  // namespace thermocline::demo
