/* One thread frees, another frees again; the second one's end drains its cache. */
#include <pthread.h>

#include "misuse.h"

static void *free_again(void *object) {
  free(object);
  return NULL;
}

int main(void) {
  pthread_t thread;
  allocate_neighbours(200);
  void *object = announce(malloc(200));
  allocate_neighbours(200);
  free(object);
  pthread_create(&thread, NULL, free_again, object);
  pthread_join(thread, NULL);
  malloc_trim(0);
  return 0;
}
