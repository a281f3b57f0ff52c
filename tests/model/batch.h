/* What a keeper is about to do, and the part of it that is a batch. */
#ifndef BATCH_H
#define BATCH_H

#include "model.h"

typedef enum KeeperAt {
  IDLE, UNLOCK,
  OPEN, FENCE, LOOK, PROTECT, COPY, MAP, WAKE, GIVE_UP, END, END_WAKE, MOVED, /* a batch */
  SETTLE, PUNCH, LEAVE, LAST, SNAPSHOT, REPLACE, REPAIR, PRIVATE, PART, FORK
} KeeperAt;

/* Has the spans of `moving` moved onto the frame `dest`, or onto pages of their own if it is 0, what is
 * live in those of `joining` copied; goes on at MOVED. */
void batch_begin(State *s, Keeper *k, PageSet moving, PageSet joining, uint8_t dest);
void batch_step(State *s, Keeper *k, Choice choice);

#endif
