/* Other objects of the same size are freed between the two, and enough after them to overflow the caches. */
#include "misuse.h"

enum { COUNT = 200000 };
static void *others[COUNT];

int main(void) {
  allocate_neighbours(48);
  for (int i = 0; i < COUNT; i++) others[i] = malloc(48);
  void *object = announce(malloc(48));
  allocate_neighbours(48);
  free(object);
  for (int i = 0; i < 10; i++) free(others[i]);
  free(object);
  for (int i = 10; i < COUNT; i++) free(others[i]);
  malloc_trim(0);
  return 0;
}
