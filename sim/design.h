// A verilated design as driver.cpp sees it: streams, a clock and a reset. verilated.cpp makes one of what Verilator wrote.

#pragma once

#include <memory>
#include <vector>

#include "streams.h"

struct Design {
    virtual ~Design() = default;
    virtual void settle() = 0;                    // the clock goes low, and what follows from the ports settles
    virtual void tick() = 0;                      // the clock rises
    virtual bool reset(bool active) = 0;          // false where the design has no reset
    virtual bool open_waves(const char* path) = 0;
    virtual void close_waves() = 0;

    std::vector<Port> ports;
};

std::unique_ptr<Design> make_design();
