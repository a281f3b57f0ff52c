/* A pointer into a large block, at the start of one of its pages. */
#include "misuse.h"

int main(void) {
  char *object = malloc(10 << 20);
  free(announce(object + (1 << 20)));
  return 0;
}
