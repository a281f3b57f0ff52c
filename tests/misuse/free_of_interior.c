/* A pointer into a small object. */
#include "misuse.h"

int main(void) {
  char *object = malloc(100);
  allocate_neighbours(100);
  free(announce(object + 16));
  malloc_trim(0);
  return 0;
}
