/* A pointer to static data. */
#include "misuse.h"

static char object[64];

int main(void) {
  free(announce(object));
  return 0;
}
