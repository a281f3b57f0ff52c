/* The same object twice, and then so many others that it lies in none of the thread's caches when the program ends. */
#include "misuse.h"

enum { OTHERS = 3000 };

int main(void) {
  static void *others[OTHERS];
  void *object = announce(malloc(100));
  for (int i = 0; i < OTHERS; i++) others[i] = malloc(100);
  free(object);
  free(object);
  for (int i = 0; i < OTHERS; i++) free(others[i]);
  return 0;
}
