/* realloc of a pointer to the stack. */
#include "misuse.h"

int main(void) {
  char object[64];
  free(realloc(announce(object), 100));
  return 0;
}
