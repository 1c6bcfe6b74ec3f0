// The registry of backends: the only list of them. duel_backend_name of duel.h reads it out.
#ifndef DUEL_RUN_REGISTRY_H
#define DUEL_RUN_REGISTRY_H

#include "core/backend.h"

// By name, "auto" among them. USAGE for an unknown name, DEVICE for one that cannot work here, with the reason.
duel_status duel_backend_find(const char *name, const duel_backend_api **api);
// The same for one of its devices. why: why auto took the CPU although there is a GPU's driver; else empty.
duel_status duel_backend_choose(const char *name, int device, const duel_backend_api **api, char *why, size_t n);

#endif
