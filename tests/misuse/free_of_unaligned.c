/* A pointer that no allocation could have given. */
#include "misuse.h"

int main(void) {
  char *object = malloc(100);
  allocate_neighbours(100);
  free(announce(object + 1));
  malloc_trim(0);
  return 0;
}
