/* The same program in every form that a program can be linked or started in. Tells its result by exit status
   only: it may have been started without any descriptor. */
#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

#include "exercise.h"

extern char end;

static void *exercise_thread(void *argument) { return exercise((uintptr_t)argument) ? argument : NULL; }

/* glibc's malloc takes small objects from the program break. If one comes from there, this program tests
 * glibc. */
static bool on_program_break(void) {
  char *object = malloc(100);
  bool result = object > &end && object < (char *)sbrk(0);
  free(object);
  return result;
}

int main(void) {
  pthread_t threads[4];
  if (on_program_break()) return 2;
  for (uintptr_t i = 0; i < 4; i++)
    if (pthread_create(&threads[i], NULL, exercise_thread, (void *)(i + 1)) != 0) return 3;
  bool good = exercise(100);
  for (int i = 0; i < 4; i++) {
    void *result;
    pthread_join(threads[i], &result);
    good = good && result != NULL;
  }
  return good ? 0 : 1;
}
