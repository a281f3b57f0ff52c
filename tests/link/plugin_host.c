/* Loads a C++ library into a C program: plugin_host PLUGIN. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>

int main(int argc, char **argv) {
  void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (library == NULL) {
    fprintf(stderr, "dlopen: %s\n", argc == 2 ? dlerror() : "no library given");
    return 1;
  }
  int (*plugin_test)(void) = (int (*)(void))(uintptr_t)dlsym(library, "plugin_test");
  int result = plugin_test ? plugin_test() : 9;
  if (result != 0) fprintf(stderr, "step %d of the plugin fails\n", result);
  return result;
}
