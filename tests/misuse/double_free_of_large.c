/* A block of its own pages: seen at once, no cache is in between. */
#include "misuse.h"

int main(void) {
  void *object = announce(malloc(10 << 20));
  free(object);
  free(object);
  return 0;
}
