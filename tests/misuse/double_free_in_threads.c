/* Two threads free the same object and end: no call but theirs drains anything. */
#include <pthread.h>

#include "misuse.h"

static void *free_it(void *object) {
  free(object);
  return NULL;
}

int main(void) {
  pthread_t threads[2];
  allocate_neighbours(200);
  void *object = announce(malloc(200));
  allocate_neighbours(200);
  for (int i = 0; i < 2; i++) {
    pthread_create(&threads[i], NULL, free_it, object);
    pthread_join(threads[i], NULL);
  }
  malloc_trim(0);
  return 0;
}
