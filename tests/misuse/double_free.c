/* The same object twice, at once. */
#include "misuse.h"

int main(void) {
  allocate_neighbours(100);
  void *object = announce(malloc(100));
  allocate_neighbours(100);
  free(object);
  free(object);
  malloc_trim(0);
  return 0;
}
