#include "segv.h"

#include <signal.h>

#include "hazard.h"

static Lock segv_lock = LOCK_INIT(RANK_HANDLER);
static _Atomic bool installed;     /* (~) */
static OsSignalAction program[2];  /* (segv_lock) the program's action, and the one before it, ... */
static _Atomic unsigned current;   /* (segv_lock) ... of which this is valid, in the midst of a change too */
static int process;                /* (segv_lock when changed) that `installed` speaks of */

/* The last fault on an arena page outside a batch. Twice the same, with no batch between, is no leftover
 * of a batch but the program's own: it may protect pages of its heap itself. */
static _Thread_local struct {
  const void *address;
  uint32_t batch;
} last_fault __attribute__((tls_model("initial-exec")));

static bool is_ours(const siginfo_t *info) {
  if (info->si_code != SEGV_ACCERR || !arena_contains(info->si_addr)) return false;
  uint32_t batch = hazard_batch_number();
  if (hazard_batch_running()) {
    hazard_wait();
    return true;
  }
  bool again = last_fault.address == info->si_addr && last_fault.batch == batch;
  last_fault.address = info->si_addr;
  last_fault.batch = batch;
  return !again;
}

/* Runs the program's handler as the kernel would. Without one, puts its action in place and returns: the
 * fault happens again and ends the program as it would have. */
static void pass_on(int signal, siginfo_t *info, void *context) {
  OsSignalAction action;
  uint64_t mask;
  segv_exchange(NULL, &action);
  if (action.handler == (uintptr_t)SIG_DFL || action.handler == (uintptr_t)SIG_IGN) {
    const bool sent = info->si_code <= 0; /* not a fault: it will not happen again */
    if (sent && action.handler == (uintptr_t)SIG_IGN) return;
    os_segv_action_set(&action, NULL);
    store_relaxed(&installed, false);
    if (sent) raise(signal);
    return;
  }
  if (action.flags & SA_RESETHAND) {
    OsSignalAction reset = {.handler = (uintptr_t)SIG_DFL};
    segv_exchange(&reset, NULL);
  }
  mask = action.mask & ~((uint64_t)1 << (SIGSEGV - 1)); /* its own stores may meet a batch too */
  os_signals_add(&mask);
  if (action.flags & SA_SIGINFO)
    ((void (*)(int, siginfo_t *, void *))action.handler)(signal, info, context);
  else
    ((void (*)(int))action.handler)(signal);
}

static void on_segv(int signal, siginfo_t *info, void *context) {
  if (!is_ours(info)) pass_on(signal, info, context);
}

/* A fork in another thread may come at any moment: what the child finds as the program's action is whole. Release pairs
 * with nothing: it orders the stores for that. (segv_lock) */
static void set_program_action(const OsSignalAction *action) {
  const unsigned next = !load_relaxed(&current);
  program[next] = *action;
  store_release(&current, next);
}

bool segv_install(void) {
  if (load_relaxed(&installed)) return true;
  const OsSignalAction ours = {.handler = (uintptr_t)on_segv, .flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART};
  OsSignalAction before;
  uint64_t saved;
  os_signals_block(&saved); /* as segv_exchange */
  lock_acquire(&segv_lock);
  bool ok = os_segv_action_set(&ours, &before);
  if (ok) set_program_action(&before);
  process = os_process();
  if (ok) store_relaxed(&installed, true);
  lock_release(&segv_lock);
  os_signals_restore(&saved);
  return ok;
}

bool segv_installed(void) { return load_relaxed(&installed); }

bool segv_of_other_process(void) { return process != os_process(); }

/* Fork does not take the lock: a handler that runs in the forking thread may want it. */
void segv_fork_child(void) {
  lock_forget(&segv_lock);
  if (load_relaxed(&installed)) process = os_process();
}

void segv_exchange(const OsSignalAction *new_action, OsSignalAction *old) {
  uint64_t saved;
  os_signals_block(&saved); /* a handler on this thread may want the lock too */
  lock_acquire(&segv_lock);
  if (old != NULL) *old = program[load_relaxed(&current)];
  if (new_action != NULL) set_program_action(new_action);
  lock_release(&segv_lock);
  os_signals_restore(&saved);
}
