/* Opens a library that wants its own symbols first, and has it open another that lies where only it looks:
 * deepbind PLUGIN. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void *library;

static void *function(const char *name) {
  void *f = dlsym(library, name);
  if (f != NULL) return f;
  fprintf(stderr, "%s\n", dlerror());
  exit(1);
}

int main(int argc, char **argv) {
  library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND) : NULL;
  if (library == NULL) {
    fprintf(stderr, "dlopen: %s\n", argc == 2 ? dlerror() : "no library given");
    return 1;
  }
  void *(*take)(size_t) = (void *(*)(size_t))(uintptr_t)function("plugin_take");
  void (*release)(void *) = (void (*)(void *))(uintptr_t)function("plugin_release");
  const char *(*open_neighbour)(void) = (const char *(*)(void))(uintptr_t)function("plugin_open_neighbour");
  for (size_t size = 1; size < 1000000; size *= 3) {
    release(malloc(size));
    free(take(size));
  }
  const char *error = open_neighbour();
  if (error != NULL) fprintf(stderr, "the neighbour: %s\n", error);
  return error != NULL;
}
