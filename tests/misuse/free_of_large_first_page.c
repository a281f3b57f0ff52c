/* A pointer into the first page of a large block. */
#include "misuse.h"

int main(void) {
  char *object = malloc(10 << 20);
  free(announce(object + 64));
  return 0;
}
