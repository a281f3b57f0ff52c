/* The program's threads, which store to slots themselves or by a system call, and the child of a fork. */
#include "model.h"

typedef enum UserAt { STORE, ASLEEP, FAULT, WAIT, FUTEX, FUTEX_ASLEEP, PUBLISH, LOOK, CALL, CLEAR } UserAt;
static const char *const names[] = {"STORE",        "ASLEEP",  "FAULT", "WAIT", "FUTEX",
                                    "FUTEX_ASLEEP", "PUBLISH", "LOOK",  "CALL", "CLEAR"};

/* The second round stores again what was there at first, as an unlock does after a lock. */
enum { ROUNDS = 2 };
static uint8_t value_of(unsigned round) { return round == 0 ? FIRST_VALUE : INITIAL; }

static bool by_kernel(unsigned u) { return model.scenario->user[u].by_kernel; }
static bool publishes(unsigned u) { return by_kernel(u) && kernel_stores_fail(); }
const char *user_at(const State *s, unsigned u) { return names[s->user[u].at]; }

static uint8_t *last(State *s, unsigned u) {
  return &s->space[0].last[model.scenario->user[u].page][model.scenario->user[u].slot];
}

/* A slot that nobody allocated yet is nobody's to store to. */
bool user_done(const State *s, unsigned u) {
  const Page page = model.scenario->user[u].page;
  return page == 0 || s->user[u].round == ROUNDS || s->space[0].last[page][model.scenario->user[u].slot] == NOT_ITS_OWN;
}

static void end_round(User *user) {
  user->at = STORE;
  user->round++;
}

/* The store by the program's own instruction, or by the kernel for it. */
static void store(State *s, unsigned u) {
  User *user = &s->user[u];
  const Page page = model.scenario->user[u].page;
  if (s->protected & set_of(page)) {
    if (by_kernel(u) && kernel_stores_fail()) broken("a system call got EFAULT");
    user->at = model.kind == BARRIER_MPROTECT ? FAULT : ASLEEP;
    return;
  }
  memory_store(s, 0, page, model.scenario->user[u].slot, value_of(user->round));
  *last(s, u) = value_of(user->round);
  if (publishes(u) && model.mutation != CLEAR_BEFORE_CALL)
    user->at = CLEAR;
  else
    end_round(user);
}

static void clear(User *user) {
  user->published = user->unflushed = false;
  if (model.mutation == CLEAR_BEFORE_CALL)
    user->at = CALL;
  else
    end_round(user);
}

/* on_segv */
static void fault(State *s, User *user) {
  if (s->batch && model.mutation != HANDLER_DOES_NOT_WAIT) {
    user->at = WAIT;
    return;
  }
  if (user->faulted) broken("the program's handler was given a fault of ours");
  user->faulted = true;
  user->at = STORE;
}

static void publish(User *user) {
  user->unflushed = true;
  user->at = model.mutation == NO_LOOK_AT_BATCH || model.mutation == LOOK_BEFORE_PUBLISH ? CALL : LOOK;
}

static void look(const State *s, unsigned u, User *user) {
  UserAt next = by_kernel(u) ? CALL : STORE;
  if (next == CALL && model.mutation == CLEAR_BEFORE_CALL) next = CLEAR;
  if (next == CALL && model.mutation == LOOK_BEFORE_PUBLISH && !user->unflushed && !user->published) next = PUBLISH;
  user->seen = s->batch;
  user->at = s->batch ? FUTEX : next;
}

bool user_step(State *s, unsigned u, UserChoice choice) {
  User *user = &s->user[u];
  if (user_done(s, u)) return false;
  if (choice == FLUSHES) {
    if (!user->unflushed) return false;
    user->published = true;
    user->unflushed = false;
    return true;
  }
  switch ((UserAt)user->at) {
    case STORE:
      if (publishes(u))
        user->at = model.mutation == LOOK_BEFORE_PUBLISH ? LOOK : PUBLISH;
      else
        store(s, u);
      return true;
    case ASLEEP: case FUTEX_ASLEEP: return false;
    case FAULT: fault(s, user); return true;
    case PUBLISH: publish(user); return true;
    case LOOK: case WAIT: look(s, u, user); return true;
    case FUTEX: user->at = user->seen ? FUTEX_ASLEEP : WAIT; return true;
    case CALL: store(s, u); return true;
    case CLEAR: clear(user); return true;
  }
  return false;
}

void wake_sleepers(State *s, Page page) {
  for (unsigned u = 0; u < USERS; u++)
    if (s->user[u].at == ASLEEP && model.scenario->user[u].page == page) s->user[u].at = STORE;
}

void wake_waiters(State *s) {
  for (unsigned u = 0; u < USERS; u++)
    if (s->user[u].at == FUTEX_ASLEEP) s->user[u].at = WAIT;
}

void batch_number_changes(State *s) {
  s->batch = !s->batch;
  for (unsigned u = 0; u < USERS; u++) s->user[u].faulted = s->user[u].seen = false;
}

/* The child stores to the first slot of its own in each span. */
bool child_step(State *s) {
  if (s->child == 0 || s->child > SPANS) return false;
  const Page page = s->child++;
  for (unsigned slot = 0; slot < SLOTS; slot++) {
    if (s->space[1].last[page][slot] == NOT_ITS_OWN) continue;
    memory_store(s, 1, page, slot, CHILD_VALUE);
    s->space[1].last[page][slot] = CHILD_VALUE;
    break;
  }
  return true;
}
