/* libmesh opened at run time, by a program on another malloc: dlopen LIBMESH. Both work side by side. */
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exercise.h"

static void *(*mesh_malloc_function)(size_t);
static void *(*mesh_realloc_function)(void *, size_t);
static void (*mesh_free_function)(void *);

static bool exercise_mesh(uint64_t seed) {
  enum { COUNT = 500 };
  void *objects[COUNT];
  bool good = true;
  for (int i = 0; i < COUNT; i++) {
    objects[i] = mesh_malloc_function(1 + i * 20);
    if (objects[i] == NULL) return false;
    pattern_fill(objects[i], 1 + i * 20, seed + i);
  }
  for (int i = 0; i < COUNT; i++) {
    objects[i] = mesh_realloc_function(objects[i], 1 + i * 30);
    good = good && objects[i] && pattern_mismatch(objects[i], 1 + i * 20, seed + i) == (size_t)(1 + i * 20);
  }
  for (int i = 0; i < COUNT; i++) mesh_free_function(objects[i]);
  return good;
}

/* The key is older than libmesh's, so its destructor runs first and again after libmesh's own. */
static pthread_key_t key;
static int destructor_rounds;

static void use_mesh_late(void *value) {
  mesh_free_function(value);
  if (exercise_mesh(7) && ++destructor_rounds < PTHREAD_DESTRUCTOR_ITERATIONS)
    pthread_setspecific(key, mesh_malloc_function(100));
}

static void *thread(void *argument) {
  pthread_setspecific(key, mesh_malloc_function(100));
  return exercise_mesh(3) && exercise(3) ? argument : NULL;
}

static void *waiting_thread(void *barrier) {
  bool good = exercise_mesh(4);
  pthread_barrier_wait(barrier);
  pthread_barrier_wait(barrier);
  return good ? barrier : NULL;
}

static bool works_in_a_thread(void) {
  pthread_t id;
  void *result = NULL;
  if (pthread_create(&id, NULL, thread, &key) == 0) pthread_join(id, &result);
  return result != NULL;
}

static bool works_in_a_child(void) {
  int status = -1;
  pid_t child = fork();
  if (child == 0) {
    alarm(60);
    _exit(exercise_mesh(5) && exercise(5) ? 0 : 1);
  }
  return waitpid(child, &status, 0) == child && status == 0;
}

int main(int argc, char **argv) {
  pthread_key_create(&key, use_mesh_late);
  void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (library == NULL) {
    fprintf(stderr, "dlopen: %s\n", argc == 2 ? dlerror() : "no library given");
    return 1;
  }
  mesh_malloc_function = (void *(*)(size_t))(uintptr_t)dlsym(library, "malloc");
  mesh_realloc_function = (void *(*)(void *, size_t))(uintptr_t)dlsym(library, "realloc");
  mesh_free_function = (void (*)(void *))(uintptr_t)dlsym(library, "free");
  if (mesh_malloc_function == malloc) {
    fprintf(stderr, "the program is on libmesh's malloc already\n");
    return 1;
  }
  bool good = exercise_mesh(1) && exercise(1) && works_in_a_thread() && works_in_a_child();

  /* A thread that has a heap must be able to end after the library was closed, and so must the process. */
  pthread_barrier_t barrier;
  pthread_t id;
  void *result = NULL;
  pthread_barrier_init(&barrier, NULL, 2);
  pthread_create(&id, NULL, waiting_thread, &barrier);
  pthread_barrier_wait(&barrier);
  dlclose(library);
  pthread_barrier_wait(&barrier);
  pthread_join(id, &result);
  good = good && result != NULL && exercise(2);
  if (!good) fprintf(stderr, "wrong bytes, or no memory\n");
  return good ? 0 : 1;
}
