// Precompiled: the headers that nearly every file of the harness reads.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
