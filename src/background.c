#include "background.h"

#include <pthread.h>

#include "global_heap.h"
#include "mesh_pass.h"
#include "options.h"
#include "os.h"

enum {
  STEP_MS = 10, /* between looks */
  BUSY_MS = 1,  /* where others want what the work needs */
};
#define WORK_NS 500000
#define STACK_SIZE (256 * KIB)

static void *run(void *unused) {
  (void)unused;
  for (;;) {
    uint64_t now_ms = os_now_ms();
    while (global_heap_tick(now_ms)) {
    }
    MeshProgress progress;
    while ((progress = mesh_pass_work(WORK_NS)) == MESH_MORE) {
    }
    os_sleep_ms(progress == MESH_BUSY ? BUSY_MS : STEP_MS);
  }
  return NULL;
}

void background_start(void) {
  if (!options.background || options.period_ms == 0) return;
  pthread_attr_t attr;
  pthread_t thread;
  uint64_t signals;
  if (pthread_attr_init(&attr) != 0) return;
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attr, STACK_SIZE);
  os_signals_block(&signals); /* the program's signals are the program's threads' */
  /* Without the thread, meshing is left to the program's threads, as by default. */
  if (pthread_create(&thread, &attr, run, NULL) != 0) options.background = false;
  os_signals_restore(&signals);
  pthread_attr_destroy(&attr);
}
