/* A pointer to the stack. */
#include "misuse.h"

int main(void) {
  char object[64];
  free(announce(object));
  return 0;
}
