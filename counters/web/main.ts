import "@shared/base.css";
import "@shared/work.css";
import { mount } from "svelte";
import { recallLanguage } from "@shared/i18n.svelte";
import Page from "./Page.svelte";

recallLanguage();

mount(Page, { target: document.getElementById("page")! });
