/* Numbers that are no pointers: the page tables must not be asked about these. */
#include "misuse.h"

int main(void) {
  free(announce((void *)(UINTPTR_MAX - 15)));
  return 0;
}
