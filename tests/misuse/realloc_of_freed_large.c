/* realloc of a large block that was freed. */
#include "misuse.h"

int main(void) {
  void *object = announce(malloc(10 << 20));
  free(object);
  object = realloc(object, 20 << 20);
  free(object);
  return 0;
}
