// Where a run's data lie, seen from its directory: a resume from another folder, or of a run that has moved together
// with its data, finds them so. Kept beside the checkpoints in places.yaml; no checkpoint holds a path of the machine.
#ifndef DUEL_RUN_PLACES_H
#define DUEL_RUN_PLACES_H

#include <limits.h>

#include "base/status.h"

typedef struct duel_places { // as they were opened; "": made in memory, or found by their name
  char data[PATH_MAX], test[PATH_MAX];
} duel_places;

// The path under which spec was found, without links but for its last part; "" for what goes by its name.
void duel_place_of(char place[PATH_MAX], const char *spec);
// Writes FOLDER/places.yaml, or removes it where there is nothing to say.
duel_status duel_places_write(const char *folder, const duel_places *places);
// What the places.yaml beside a checkpoint says of a key, "data.path": where that is there; else "".
void duel_places_find(char place[PATH_MAX], const char *checkpoint, const char *key);

#endif
