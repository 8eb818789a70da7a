# The clock of the kernel for its synthesis out of context, at the planned frequency. In the linked design the clock and
# its constraint come from the platform. The reset of the kernel comes from a register of the same clock, and the
# kernel has no other clock, so that there are no exceptions.
create_clock -name @{clock} -period @{period_ns} [get_ports @{clock}]
