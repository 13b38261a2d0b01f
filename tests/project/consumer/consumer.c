/* Allocates, writes and frees through the C API of an installed library. */
#include <stdio.h>
#include <string.h>
#include <thermocline/thermocline.h>

int main(void) {
  tc_options options = {0};
  options.struct_size = sizeof(options);
  options.fast = "64MiB";
  options.slow = "emulated:in=1GB/s,out=1GB/s";
  tc_runtime* runtime = NULL;
  if (tc_create(&options, &runtime) != TC_OK) {
    printf("tc_create: %s\n", tc_last_error());
    return 1;
  }
  char* tensor = tc_alloc(runtime, 1 << 20);
  if (tensor == NULL) {
    printf("tc_alloc: %s\n", tc_last_error());
    return 1;
  }
  memset(tensor, 42, 1 << 20);
  if (tensor[(1 << 20) - 1] != 42 || tc_free(runtime, tensor) != TC_OK) return 1;
  tc_destroy(runtime);
  printf("thermocline %s\n", tc_version());
  return 0;
}
