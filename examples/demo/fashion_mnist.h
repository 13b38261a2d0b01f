// FashionMnist: the first images and labels of the Debian package dataset-fashion-mnist, in memory of their own, so
// that the data set is apart from the tensors that are measured.
//
// Thread safety: const after Load. Ownership: batches point into it. Errors: std::runtime_error naming the file and
// what is wrong with it.
#ifndef THERMOCLINE_EXAMPLES_DEMO_FASHION_MNIST_H_
#define THERMOCLINE_EXAMPLES_DEMO_FASHION_MNIST_H_

#include <cstdint>
#include <string>
#include <vector>

namespace thermocline::demo {

class FashionMnist {
 public:
  static constexpr int kSide = 28;

  // Reads train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz under `folder`, `count` images of them, or all
  // where there are fewer (60,000).
  static FashionMnist Load(const std::string& folder, int64_t count);

  int64_t size() const { return static_cast<int64_t>(labels_.size()); }
  // kSide * kSide floats, mean 0 and deviation 1 over the data set. REQUIRES: index < size(); of batches, all of it.
  float* image(int64_t index) { return images_.data() + index * kSide * kSide; }
  int64_t* label(int64_t index) { return labels_.data() + index; }

 private:
  std::vector<float> images_;
  std::vector<int64_t> labels_;
};

}  // namespace thermocline::demo

#endif  // THERMOCLINE_EXAMPLES_DEMO_FASHION_MNIST_H_
