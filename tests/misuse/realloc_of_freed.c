/* realloc of a small object that was freed and handed back. */
#include "misuse.h"

int main(void) {
  allocate_neighbours(100);
  void *object = announce(malloc(100));
  allocate_neighbours(100);
  free(object);
  malloc_trim(0);
  object = realloc(object, 3000);
  free(object);
  malloc_trim(0);
  return 0;
}
