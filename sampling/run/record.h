// The record of a run, metrics.json.
#pragma once

#include "engine/files/json.h"
