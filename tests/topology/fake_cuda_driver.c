/* A CUDA driver of two devices, as far as the probe asks. */
__attribute__((visibility("default"))) int cuInit(unsigned flags) {
  (void)flags;
  return 0;
}
__attribute__((visibility("default"))) int cuDriverGetVersion(int* version) {
  *version = 13020;
  return 0;
}
__attribute__((visibility("default"))) int cuDeviceGetCount(int* count) {
  *count = 2;
  return 0;
}
