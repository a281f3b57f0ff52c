/* A trivial program that says how many KiB it occupies. */
#include <stdio.h>
#include <stdlib.h>

#include "../process_memory.h"

int main(void) {
  char *name = malloc(100);
  void *table = calloc(10, 50);
  printf("%zu\n", process_pss() / 1024);
  free(table);
  free(name);
  return 0;
}
