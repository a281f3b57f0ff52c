/* Over-aligned objects are no exception. */
#include "misuse.h"

int main(void) {
  allocate_neighbours(256);
  void *object = announce(aligned_alloc(256, 256));
  allocate_neighbours(256);
  free(object);
  free(object);
  malloc_trim(0);
  return 0;
}
