"""The names in the modules of boards, of all ports together. `check` reports a name that is not listed as misspelt."""

from __future__ import annotations

import difflib

# {module, or class: its names}
MEMBERS = {name: frozenset(names.split()) for name, names in {
    "machine": """
        ADC ADCBlock CAN Counter DAC Encoder ETH I2C I2CTarget I2S LED PWM Pin PinBase RTC RTCounter SD SDCard SPI
        Signal SoftI2C SoftSPI Temp Timer TouchPad UART USBDevice WDT BROWN_OUT_RESET DEEPSLEEP DEEPSLEEP_RESET
        EXT0_WAKE EXT1_WAKE GPIO_WAKE HARD_RESET IDLE LOCKUP_RESET NETWORK_WAKE PIN_WAKE PWRON_RESET RTC_WAKE SLEEP
        SOFT_RESET TIMER_WAKE TOUCHPAD_WAKE UART_WAKE ULP_WAKE UNDEFINED_RESET WDT_RESET WLAN_WAKE bitstream
        bootloader deepsleep dht_readinto disable_irq enable_irq freq idle info lightsleep mem16 mem32 mem8 main
        reset reset_cause rng sleep soft_reset stop time_pulse_us unique_id wake_reason""",
    "machine.Pin": """
        ALT ALT_OPEN_DRAIN ANALOG HIGH_POWER IN IRQ_ANYEDGE IRQ_FALLING IRQ_HIGH_LEVEL IRQ_LOW_LEVEL IRQ_RISING
        LOW_POWER MED_POWER OPEN_DRAIN OUT OUT_OD OUT_PP PULL_DOWN PULL_HOLD PULL_NONE PULL_UP WAKE_HIGH WAKE_LOW af
        af_list alt_list board cpu debug dict drive gpio high id init irq low mapper mode name names off on pin port
        pull toggle value""",
    "machine.ADC": """
        ATTN_0DB ATTN_11DB ATTN_2_5DB ATTN_6DB CORE_TEMP CORE_VBAT CORE_VDD CORE_VREF VREF WIDTH_10BIT WIDTH_11BIT
        WIDTH_12BIT WIDTH_13BIT WIDTH_9BIT atten block channel deinit init read read_u16 read_uv width""",
    "machine.Timer": """
        A B DOWN NEGATIVE ONE_SHOT PERIODIC POSITIVE PWM TIMEOUT MATCH UP callback channel counter deinit freq init
        irq period prescaler source_freq time value""",
    "network": """
        AP_IF AUTH_CHAP AUTH_MAX AUTH_NONE AUTH_OPEN AUTH_OWE AUTH_PAP AUTH_WAPI_PSK AUTH_WEP AUTH_WPA2_ENTERPRISE
        AUTH_WPA2_PSK AUTH_WPA2_WPA3_PSK AUTH_WPA3_ENT_192 AUTH_WPA3_EXT_PSK AUTH_WPA3_EXT_PSK_MIXED_MODE
        AUTH_WPA3_PSK AUTH_WPA_PSK AUTH_WPA_WPA2_PSK CC3K ESPNOW ETH_CONNECTED ETH_DISCONNECTED ETH_GOT_IP
        ETH_INITIALIZED ETH_STARTED ETH_STOPPED LAN MODE_11B MODE_11G MODE_11N MODE_LR PHY_DM9051 PHY_DP83848
        PHY_GENERIC PHY_IP101 PHY_JL1101 PHY_KSZ8041 PHY_KSZ8051 PHY_KSZ8061 PHY_KSZ8081 PHY_KSZ8851SNL PHY_LAN8670
        PHY_LAN8710 PHY_LAN8720 PHY_RTL8201 PHY_W5500 PPP STAT_ASSOC_FAIL STAT_BEACON_TIMEOUT STAT_CONNECTING
        STAT_CONNECT_FAIL STAT_GOT_IP STAT_HANDSHAKE_TIMEOUT STAT_IDLE STAT_NO_AP_FOUND
        STAT_NO_AP_FOUND_IN_AUTHMODE_THRESHOLD STAT_NO_AP_FOUND_IN_RSSI_THRESHOLD
        STAT_NO_AP_FOUND_W_COMPATIBLE_SECURITY STAT_WRONG_PASSWORD STA_IF USB_NCM WIZNET5K WLAN country hostname
        ipconfig phy_mode route""",
    "network.WLAN": """
        EXT_ANT IF_AP IF_STA INT_ANT PM_NONE PM_PERFORMANCE PM_POWERSAVE PROTOCOL_DEFAULTS PROTOCOL_LR SEC_OPEN
        SEC_OWE SEC_WAPI SEC_WEP SEC_WPA SEC_WPA2 SEC_WPA2_ENT SEC_WPA2_WPA3 SEC_WPA3 SEC_WPA3_ENT_192
        SEC_WPA3_EXT_PSK SEC_WPA3_EXT_PSK_MIXED_MODE SEC_WPA_WPA2 active antenna auth channel config connect deinit
        disconnect ifconfig init ioctl ipconfig irq isconnected mac mode scan send_ethernet ssid status""",
    "esp": """
        AP_MODE LOG_DEBUG LOG_ERROR LOG_INFO LOG_NONE LOG_VERBOSE LOG_WARNING SLEEP_LIGHT SLEEP_MODEM SLEEP_NONE
        STA_AP_MODE STA_MODE apa102_write check_fw deepsleep dht_readinto esf_free_bufs flash_erase flash_id
        flash_read flash_size flash_user_start flash_write free freemem gpio_matrix_in gpio_matrix_out info malloc
        meminfo neopixel_write osdebug set_native_code_location sleep_type""",
    "esp32": """
        HEAP_DATA HEAP_EXEC NVS PCNT Partition RMT ULP WAKEUP_ALL_LOW WAKEUP_ANY_HIGH gpio_deep_sleep_hold
        hall_sensor idf_heap_info idf_task_info mcu_temperature raw_temperature wake_on_ext0 wake_on_ext1
        wake_on_gpio wake_on_touch wake_on_ulp""",
    "rp2": """
        DMA Flash PIO PIOASMEmit PIOASMError StateMachine asm_pio asm_pio_encode bootsel_button const country""",
    "neopixel": "NeoPixel bitstream",
    "dht": "DHT11 DHT22 DHTBase dht_readinto",
    "onewire": "OneWire OneWireError",
    "ds18x20": "DS18X20 const",
    "ntptime": "gmtime host settime socket struct time timeout utime",
    "micropython": """
        RingIO alloc_emergency_exception_buf asm_rv32 asm_thumb asm_xtensa bytecode const heap_lock heap_locked
        heap_unlock kbd_intr mem_current mem_info mem_peak mem_reset mem_total native opt_level qstr_info schedule
        stack_use viper""",
    "time": """
        clock gmtime localtime mktime sleep sleep_ms sleep_us ticks_add ticks_cpu ticks_diff ticks_ms ticks_us time
        time_ns tzset""",
    "gc": "collect disable enable isenabled mem_alloc mem_free threshold",
    "json": "dump dumps load loads",
}.items()}
# Frequent mistakes that are not similar to the correct name.
MEANT = {"machine.Pin.OUTPUT": "OUT", "machine.Pin.INPUT": "IN", "machine.Pin.INPUT_PULLUP": "PULL_UP",
         "network.AP": "AP_IF", "network.STA": "STA_IF", "network.WLAN.AP_IF": "IF_AP", "network.WLAN.STA_IF": "IF_STA"}
# Beginnings of names: each port has its own set of them.
FAMILIES = ("__", "AF", "ALT_", "DRIVE_", "PULL_DOWN_", "PULL_UP_")


def Misspelt(whole: str) -> str:
    """Return a message about a name such as `machine.Pinn` or `machine.Pin.OUTT`, or "" if it exists or is unknown."""
    place, _, name = whole.rpartition(".")
    if place not in MEMBERS or name in MEMBERS[place] or name.startswith(FAMILIES):
        return ""
    close = [MEANT[whole]] if whole in MEANT else [one for one in MEMBERS[place] if one.lower() == name.lower()] \
        or difflib.get_close_matches(name, sorted(MEMBERS[place]), 1, 0.7)
    return "no board has %s%s" % (whole, "; is %s meant?" % close[0] if close else "")
