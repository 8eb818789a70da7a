# Constraints for the implementation of the pipeline out of context. implement.tcl reads this file.
#
# The only clock, at the planned frequency. implement.tcl says where its buffer stands (HD.CLK_SRC).
create_clock -name clk -period @{period_ns} [get_ports clk]

# An estimate of the jitter of that clock. Without it, Vivado would assume a perfect clock. It is for setup only: the
# jitter of a clock does not matter for hold, where both edges are the same one.
set_clock_uncertainty -setup 0.100 [get_clocks clk]

# The ports are streams between registers of a larger design. So Vivado times the paths from register to register
# here. Paths from and to ports have no constraint, on purpose.
