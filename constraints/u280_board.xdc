# An Alveo U280: the pins of a top that holds the pipeline, its memory and its host interface.
#
# The top must have the ports hbm_cattrip, sysclk_p, sysclk_n, reset_n, pcie_clk_p, pcie_clk_n and pcie_reset_n. A
# missing port is an error. For hbm_cattrip this protects the card, see below.

# The over-temperature alarm of the HBM, which goes to the satellite controller of the card. The design must always
# drive it: low without HBM, from the CATTRIP outputs of both stacks with HBM. If nothing drives it, the card pulls
# it high and cuts the power, and it does so again after each start if such a bitstream lies in the flash.
set_property -dict {PACKAGE_PIN D32 IOSTANDARD LVCMOS18 PULLTYPE PULLDOWN} [get_ports hbm_cattrip]
set_false_path -to [get_ports hbm_cattrip]

# SYSCLK3, 100 MHz, free-running. No memory controller needs this clock. (The clocks of the DIMMs are at BJ43/BJ44 and
# BH6/BJ6.)
set_property -dict {PACKAGE_PIN G31 IOSTANDARD LVDS} [get_ports sysclk_p]
set_property -dict {PACKAGE_PIN F31 IOSTANDARD LVDS} [get_ports sysclk_n]
create_clock -name sysclk -period 10.000 [get_ports sysclk_p]

# The card's reset button, active low. It is asynchronous: synchronise it.
set_property -dict {PACKAGE_PIN L30 IOSTANDARD LVCMOS18} [get_ports reset_n]
set_false_path -from [get_ports reset_n]

# PCIe: the reference clock of lanes 0 to 15 (for an IBUFDS_GTE4, so without an I/O standard) and the slot's reset.
set_property PACKAGE_PIN AR15 [get_ports pcie_clk_p]
set_property PACKAGE_PIN AR14 [get_ports pcie_clk_n]
create_clock -name pcie_clk -period 10.000 [get_ports pcie_clk_p]
set_property -dict {PACKAGE_PIN BH26 IOSTANDARD LVCMOS18 PULLTYPE PULLUP} [get_ports pcie_reset_n]
set_false_path -from [get_ports pcie_reset_n]

# Configuration from the quad SPI flash of the card, in a bank of 1.8 V. Bitstreams of this device are large, so
# they are compressed.
set_property CONFIG_VOLTAGE 1.8 [current_design]
set_property CONFIG_MODE SPIx4 [current_design]
set_property BITSTREAM.CONFIG.SPI_BUSWIDTH 4 [current_design]
set_property BITSTREAM.CONFIG.SPI_32BIT_ADDR YES [current_design]
set_property BITSTREAM.CONFIG.SPI_FALL_EDGE YES [current_design]
set_property BITSTREAM.CONFIG.CONFIGRATE 85.0 [current_design]
set_property BITSTREAM.GENERAL.COMPRESS TRUE [current_design]

# The power in watts that the supply and the cooling of the card allow. Vivado's power report warns above it.
set_operating_conditions -design_power_budget 160
