/* A small number, as an index that was taken for a pointer. */
#include "misuse.h"

int main(void) {
  free(announce((void *)(uintptr_t)16));
  return 0;
}
