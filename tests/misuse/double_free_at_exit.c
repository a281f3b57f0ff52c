/* The same object twice, and the program ends: nothing but the end drains the caches. */
#include "misuse.h"

int main(void) {
  allocate_neighbours(100);
  void *object = announce(malloc(100));
  allocate_neighbours(100);
  free(object);
  free(object);
  return 0;
}
