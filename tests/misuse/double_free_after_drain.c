/* The first free has long been handed back when the second comes. */
#include "misuse.h"

int main(void) {
  allocate_neighbours(1000);
  void *object = announce(malloc(1000));
  allocate_neighbours(1000);
  free(object);
  malloc_trim(0);
  free(object);
  malloc_trim(0);
  return 0;
}
